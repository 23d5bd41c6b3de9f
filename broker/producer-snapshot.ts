import { crc32c, errorCode, type Files, readWhole, writeWhole } from '../base/index.ts'
import { readInt64, writeInt64 } from './int64.ts'
import type { ProducerState } from './producers.ts'
import { offsetName } from './segment.ts'

const VERSION = 1
/** Version (i16), CRC-32C of what follows the CRC (u32), count (i32). */
const HEAD_BYTES = 10
const CRC_FROM = 6
/**
 * Producer id (i64), epoch (i16), last sequence (i32), last offset (i64), offset delta (i32), timestamp (i64), coordinator
 * epoch (i32), first offset of the open transaction (i64).
 */
const ENTRY_BYTES = 46

export function snapshotPath(directory: string, offset: number): string {
  return `${directory}/${offsetName(offset)}.snapshot`
}

/** Kafka's `.snapshot`: of each producer its last batch only. */
export function encodeSnapshot(states: readonly ProducerState[]): Buffer {
  const sorted = [...states].sort((a, b) => a.id - b.id)
  const bytes = Buffer.alloc(HEAD_BYTES + sorted.length * ENTRY_BYTES)
  bytes.writeInt16BE(VERSION, 0)
  bytes.writeInt32BE(sorted.length, CRC_FROM)
  let at = HEAD_BYTES
  for (const { id, epoch, batches, timestamp, coordinatorEpoch, openFrom } of sorted) {
    const last = batches.at(-1)
    writeInt64(bytes, at, id)
    bytes.writeInt16BE(epoch, at + 8)
    bytes.writeInt32BE(last?.lastSequence ?? -1, at + 10)
    writeInt64(bytes, at + 14, last?.lastOffset ?? -1)
    bytes.writeInt32BE(last?.offsetDelta ?? 0, at + 22)
    writeInt64(bytes, at + 26, timestamp)
    bytes.writeInt32BE(coordinatorEpoch, at + 34)
    writeInt64(bytes, at + 38, openFrom)
    at += ENTRY_BYTES
  }
  bytes.writeUInt32BE(crc32c(bytes.subarray(CRC_FROM)), 2)
  return bytes
}

/** Undefined for anything but a whole snapshot of what lies below `offset`. */
export function decodeSnapshot(bytes: Buffer, offset: number): ProducerState[] | undefined {
  if (bytes.length < HEAD_BYTES || bytes.readInt16BE(0) !== VERSION) return undefined
  if (bytes.readUInt32BE(2) !== crc32c(bytes.subarray(CRC_FROM))) return undefined
  if (bytes.readInt32BE(CRC_FROM) * ENTRY_BYTES !== bytes.length - HEAD_BYTES) return undefined
  const states: ProducerState[] = []
  for (let at = HEAD_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const lastSequence = bytes.readInt32BE(at + 10)
    const lastOffset = readInt64(bytes, at + 14)
    const offsetDelta = bytes.readInt32BE(at + 22)
    const openFrom = readInt64(bytes, at + 38)
    if (lastOffset >= offset || openFrom >= offset) return undefined
    const firstSequence = (lastSequence - offsetDelta + 2 ** 31) % 2 ** 31
    states.push({
      id: readInt64(bytes, at),
      epoch: bytes.readInt16BE(at + 8),
      batches: lastSequence < 0 ? [] : [{ firstSequence, lastSequence, lastOffset, offsetDelta }],
      timestamp: readInt64(bytes, at + 26),
      coordinatorEpoch: bytes.readInt32BE(at + 34),
      openFrom,
    })
  }
  return states
}

/** Writes, durably, what is known of the producers below `offset`. */
export function writeSnapshot(files: Files, directory: string, offset: number, states: readonly ProducerState[]) {
  return writeWhole(files, snapshotPath(directory, offset), encodeSnapshot(states))
}

export interface ProducerSnapshot {
  readonly offset: number
  readonly states: readonly ProducerState[]
}

/** The newest whole snapshot at or below `offsetMax`, and the files that cannot be used at all. */
export async function readNewestSnapshot(
  files: Files,
  directory: string,
  offsetMax: number,
): Promise<{ readonly snapshot: ProducerSnapshot | undefined; readonly unusable: readonly string[] }> {
  const unusable: string[] = []
  for (const offset of (await snapshotOffsets(files, directory)).reverse()) {
    if (offset > offsetMax) continue
    const path = snapshotPath(directory, offset)
    const states = await readSnapshot(files, path, offset)
    if (states !== undefined) return { snapshot: { offset, states }, unusable }
    unusable.push(path)
  }
  return { snapshot: undefined, unusable }
}

async function readSnapshot(files: Files, path: string, offset: number): Promise<ProducerState[] | undefined> {
  try {
    const bytes = await readWhole(files, path)
    return bytes === undefined ? undefined : decodeSnapshot(bytes, offset)
  } catch (error) {
    if (errorCode(error) === 'EFBIG') return undefined
    throw error
  }
}

/** Of all snapshots in the directory, whole or not, in order. */
export async function snapshotOffsets(files: Files, directory: string): Promise<number[]> {
  return (await files.list(directory))
    .flatMap(name => /^(\d{20})\.snapshot$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}
