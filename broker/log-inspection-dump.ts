import { CODEC_NAMES, decodeHeaders, errorMessage, type Files, readWhole } from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchBaseSequence,
  batchBaseTimestamp,
  batchCodecId,
  batchCount,
  batchIsControl,
  batchIsLogAppendTime,
  batchIsTransactional,
  batchLastOffset,
  batchLastSequence,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
  batchSize,
  sequenceAfter,
} from './batch.ts'
import { readMarker } from './batch-marker.ts'
import { batchRecords } from './batch-records.ts'
import { FileCache } from './file-cache.ts'
import { openLogFile, readAbortedEntries, readOffsetEntries, readTimeEntries } from './log-inspection-files.ts'
import type { PartitionFolder } from './log-inspection-folders.ts'
import { type DecodedRecord, decodeInternal } from './log-inspection-records.ts'
import { type BadBytes, walkSegment } from './log-inspection-walk.ts'
import { decodeSnapshot } from './producer-snapshot.ts'
import type { AbortedTransaction, ProducerState } from './producers.ts'
import type { Store } from './store.ts'

/** A batch's header in the words of Kafka's DumpLogSegments. */
export interface DumpedBatch {
  readonly kind: 'batch'
  readonly baseOffset: number
  readonly lastOffset: number
  readonly count: number
  readonly baseSequence: number
  readonly lastSequence: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly partitionLeaderEpoch: number
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly deleteHorizonMs: number | null
  readonly position: number
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly timestamp: number
  readonly size: number
  readonly magic: number
  readonly compresscodec: string
  readonly crc: number
  readonly isvalid: boolean
}

export interface DumpedRecord {
  readonly kind: 'record'
  readonly offset: number
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly timestamp: number
  readonly sequence: number
  readonly headers: readonly { readonly key: string; readonly value: Uint8Array | null }[]
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly endTxnMarker?: { readonly type: 'COMMIT' | 'ABORT'; readonly coordinatorEpoch: number } | undefined
  readonly decoded?: DecodedRecord | undefined
}

/** One line of a dump. */
export type DumpItem =
  | { readonly kind: 'file'; readonly path: string; readonly startingOffset?: number }
  | DumpedBatch
  | DumpedRecord
  | ({ readonly kind: 'invalid' } & BadBytes)
  | { readonly kind: 'offsetEntry'; readonly offset: number; readonly position: number }
  | { readonly kind: 'timeEntry'; readonly timestamp: number; readonly offset: number }
  | ({ readonly kind: 'abortedTransaction'; readonly version: number } & AbortedTransaction)
  | ({ readonly kind: 'producer' } & ProducerState)
  | { readonly kind: 'unreadable'; readonly reason: string }

export interface DumpOptions {
  /** Records too. */
  readonly deep: boolean
}

/** Told each item in turn; reading goes on once it resolves. */
export type DumpSink = (item: DumpItem) => Promise<void>

/** Everything in the files of a partition, in the order of their names; opens them for reading only. */
export async function dumpPartition(
  files: Files,
  folder: PartitionFolder,
  options: DumpOptions,
  sink: DumpSink,
): Promise<void> {
  const cache = new FileCache(files, 4)
  try {
    for (const name of folder.names) {
      const [, base, kind] = /^(\d{20})\.(log|index|timeindex|txnindex|snapshot)$/.exec(name) ?? []
      if (base === undefined) continue
      const path = `${folder.directory}/${name}`
      const baseOffset = Number(base)
      await sink(kind === 'log' ? { kind: 'file', path, startingOffset: baseOffset } : { kind: 'file', path })
      if (kind === 'log') await dumpLog(cache, folder, path, baseOffset, options, sink)
      else await dumpEntries(files, path, kind!, baseOffset, sink)
    }
  } finally {
    await cache.close()
  }
}

async function dumpEntries(files: Files, path: string, kind: string, baseOffset: number, sink: DumpSink) {
  if (kind === 'index') {
    for (const { lastOffset, position } of (await readOffsetEntries(files, path, baseOffset))?.entries ?? [])
      await sink({ kind: 'offsetEntry', offset: lastOffset, position })
  } else if (kind === 'timeindex') {
    for (const entry of (await readTimeEntries(files, path, baseOffset))?.entries ?? [])
      await sink({ kind: 'timeEntry', ...entry })
  } else if (kind === 'txnindex') {
    for (const entry of (await readAbortedEntries(files, path))?.entries ?? [])
      await sink({ kind: 'abortedTransaction', ...entry })
  } else {
    const states = decodeSnapshot((await readWhole(files, path)) ?? Buffer.alloc(0), baseOffset)
    if (states === undefined) await sink({ kind: 'unreadable', reason: 'not a whole snapshot of version 1' })
    for (const state of states ?? []) await sink({ kind: 'producer', ...state })
  }
}

async function dumpLog(
  cache: FileCache,
  folder: PartitionFolder,
  path: string,
  baseOffset: number,
  { deep }: DumpOptions,
  sink: DumpSink,
): Promise<void> {
  const store = await openLogFile(cache, path)
  const offsetEnd = folder.segments.find(base => base > baseOffset) ?? Number.POSITIVE_INFINITY
  await walkSegment(store, baseOffset, offsetEnd, {
    async batch(bytes, at, position) {
      await sink(batchItem(bytes, at, position, true))
      if (deep) await dumpRecords(await wholeBatch(store, position, batchSize(bytes, at)), folder.topic, sink)
    },
    async bad(range) {
      const header = Buffer.alloc(BATCH_HEADER_BYTES)
      if (range.isBatch) {
        await store.read(header, 0, header.length, range.position)
        await sink(batchItem(header, 0, range.position, false))
      }
      await sink({ kind: 'invalid', ...range })
    },
  })
}

/** A batch whose length is known to be true. */
export async function wholeBatch(store: Store, position: number, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size)
  return bytes.subarray(0, await store.read(bytes, 0, size, position))
}

const DELETE_HORIZON = 0x40

function batchItem(bytes: Buffer, at: number, position: number, isvalid: boolean): DumpedBatch {
  const hasHorizon = (bytes.readInt16BE(at + 21) & DELETE_HORIZON) !== 0
  return {
    kind: 'batch',
    baseOffset: batchBaseOffset(bytes, at),
    lastOffset: batchLastOffset(bytes, at),
    count: batchCount(bytes, at),
    baseSequence: batchBaseSequence(bytes, at),
    lastSequence: batchLastSequence(bytes, at),
    producerId: batchProducerId(bytes, at),
    producerEpoch: batchProducerEpoch(bytes, at),
    partitionLeaderEpoch: bytes.readInt32BE(at + 12),
    isTransactional: batchIsTransactional(bytes, at),
    isControl: batchIsControl(bytes, at),
    deleteHorizonMs: hasHorizon ? batchBaseTimestamp(bytes, at) : null,
    position,
    timestampType: batchIsLogAppendTime(bytes, at) ? 'LogAppendTime' : 'CreateTime',
    timestamp: batchMaxTimestamp(bytes, at),
    size: batchSize(bytes, at),
    magic: bytes[at + 16]!,
    compresscodec: CODEC_NAMES[batchCodecId(bytes, at)] ?? `unknown (${batchCodecId(bytes, at)})`,
    crc: bytes.readUInt32BE(at + 17),
    isvalid,
  }
}

async function dumpRecords(bytes: Buffer, topic: string | undefined, sink: DumpSink): Promise<void> {
  if (batchCount(bytes, 0) === 0) return
  try {
    const records = await batchRecords(bytes, 0)
    const marker = batchIsControl(bytes, 0) ? await readMarker(bytes, 0) : undefined
    const baseSequence = batchBaseSequence(bytes, 0)
    for (let i = 0; i < records.count; i++) {
      const key = records.key(i)
      const value = records.value(i)
      const delta = records.offset(i) - batchBaseOffset(bytes, 0)
      const block = records.headerBlock(i)
      await sink({
        kind: 'record',
        offset: records.offset(i),
        timestampType: batchIsLogAppendTime(bytes, 0) ? 'LogAppendTime' : 'CreateTime',
        timestamp: records.timestamp(i),
        sequence: baseSequence < 0 ? -1 : sequenceAfter(baseSequence, delta),
        headers: block === undefined ? [] : decodeHeaders(block),
        key,
        value,
        endTxnMarker:
          marker === undefined
            ? undefined
            : { type: marker.outcome === 'commit' ? 'COMMIT' : 'ABORT', coordinatorEpoch: marker.coordinatorEpoch },
        decoded: key === null || batchIsControl(bytes, 0) ? undefined : decodeInternal(topic, key, value),
      })
    }
  } catch (error) {
    await sink({ kind: 'unreadable', reason: errorMessage(error) })
  }
}
