import { type FileHandle, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CodecName, crc32c, loadCodec, type PackedRecords } from '../base/index.ts'
import type { Broker } from '../broker/index.ts'
import type { Bench, BenchContext } from './bench.ts'
import { BATCH_BYTES, batchesOf, bytesOf, rateOf } from './log-input.ts'
import { openLog } from './open-log.ts'

const READ_BYTES = 1 << 20

interface AppendShape {
  readonly name: string
  readonly codec?: CodecName
  readonly batchBytes?: number
  readonly partitions?: number
  readonly durability?: 'sync' | 'os'
  /** Share of the input: small batches and strong codecs take longer. */
  readonly share?: number
  readonly must?: number
  readonly goal?: number
}

/** Each batch committed before the next, its partition in turn, against a plain loop of writes (and syncs) of the same bytes. */
function append(shape: AppendShape): Bench {
  const { name, codec = 'none', batchBytes = BATCH_BYTES, partitions = 1, durability = 'sync', share = 1 } = shape
  const full = { ...shape, codec, batchBytes, partitions, durability }
  const what = durability === 'sync' ? 'write + fdatasync' : 'write'
  return {
    name,
    unit: 'MB/s',
    against: codec === 'none' ? what : `${codec} + ${what}`,
    ...(shape.must === undefined ? {} : { must: shape.must }),
    ...(shape.goal === undefined ? {} : { goal: shape.goal }),
    async open(context) {
      const batches = batchesOf(context.bytes * share, batchBytes)
      const bytes = bytesOf(batches)
      return {
        ours: () => appendAll(context, batches, full, work => rateOf(bytes, work)),
        theirs: () => writeAll(context, batches, full, work => rateOf(bytes, work)),
        close: async () => {},
      }
    },
  }
}

export const logAppend = append({ name: 'log-append', must: 0.5, goal: 0.7 })

/** How the figure moves with codec, batch size, partitions and durability. */
export const logAppendShapes: readonly Bench[] = [
  ...(['gzip', 'snappy', 'lz4', 'zstd'] as const).map(codec =>
    append({ name: `log-append-${codec}`, codec, share: 0.25 }),
  ),
  append({ name: 'log-append-16k', batchBytes: 16 << 10, share: 1 / 16 }),
  append({ name: 'log-append-256k', batchBytes: 256 << 10, share: 0.5 }),
  append({ name: 'log-append-100-partitions', partitions: 100 }),
  append({ name: 'log-append-os', durability: 'os' }),
]

/** Every record of the log as positions, against reading the same file and checking CRCs only. */
export const logRead: Bench = {
  name: 'log-read',
  unit: 'MB/s',
  against: 'CRC walk of the same file',
  must: 0.5,
  goal: 0.7,
  async open(context) {
    const batches = batchesOf(context.bytes)
    const bytes = bytesOf(batches)
    const shape = { codec: 'none', partitions: 1, durability: 'sync' } as const
    await appendAll(context, batches, shape, async work => {
      await work()
      return 0
    })
    const broker = await openLog(join(context.directory, 'log'))
    const records = batches.reduce((sum, batch) => sum + batch.count, 0)
    return {
      ours: () => rateOf(bytes, () => readAll(broker, records)),
      theirs: () => rateOf(bytes, () => walkAll(join(context.directory, 'log', 'lines-0'))),
      close: () => broker.close(),
    }
  },
}

interface Appending {
  readonly codec: CodecName
  readonly partitions: number
  readonly durability: 'sync' | 'os'
}

type Timed = (work: () => Promise<void>) => Promise<number>

async function appendAll(
  { directory }: BenchContext,
  batches: readonly PackedRecords[],
  { codec, partitions, durability }: Appending,
  timed: Timed,
): Promise<number> {
  await rm(join(directory, 'log'), { recursive: true, force: true })
  const broker = await openLog(join(directory, 'log'))
  await broker.ensureTopic({ name: 'lines', partitions, configs: { 'compression.type': codec, durability } })
  const writer = await broker.writer('bench')
  const rate = await timed(async () => {
    for (const [i, batch] of batches.entries()) {
      const transaction = await writer.begin()
      await transaction.append('lines', i % partitions, batch)
      await transaction.commit()
    }
  })
  await broker.close()
  return rate
}

async function writeAll(
  { directory }: BenchContext,
  batches: readonly PackedRecords[],
  { codec: name, partitions, durability }: Appending,
  timed: Timed,
): Promise<number> {
  const codec = await loadCodec(name)
  const files: FileHandle[] = []
  for (let i = 0; i < partitions; i++) {
    await rm(join(directory, `plain-${i}`), { force: true })
    files.push(await open(join(directory, `plain-${i}`), 'w'))
  }
  const rate = await timed(async () => {
    for (const [i, { bytes }] of batches.entries()) {
      const file = files[i % partitions]!
      await file.write(await codec.compress(bytes))
      if (durability === 'sync') await file.datasync()
    }
  })
  for (const file of files) await file.close()
  return rate
}

async function readAll(broker: Broker, expected: number): Promise<void> {
  let records = 0
  for (let offset = 0; ; ) {
    const { batches, release } = await broker.read('lines', 0, offset, {
      isolation: 'read_committed',
      bytesMax: READ_BYTES,
      waitMs: 0,
    })
    if (batches.length === 0) break
    for (const batch of batches) {
      records += batch.records.count
      offset = batch.nextOffset
    }
    release()
  }
  if (records !== expected) throw new Error(`${records} of ${expected} records`)
}

/** Reads a partition's log files in order and checks the CRC of every batch. */
export async function walkAll(folder: string): Promise<void> {
  const buffer = Buffer.allocUnsafe(4 << 20)
  for (const name of (await readdir(folder)).filter(n => n.endsWith('.log')).sort()) {
    const file = await open(join(folder, name))
    for (let position = 0; ; ) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position)
      let at = 0
      while (at + 61 <= bytesRead) {
        const end = at + 12 + buffer.readInt32BE(at + 8)
        if (end > bytesRead) break
        if (crc32c(buffer.subarray(at + 21, end)) !== buffer.readUInt32BE(at + 17)) throw new Error('bad CRC')
        at = end
      }
      if (at === 0) break
      position += at
    }
    await file.close()
  }
}
