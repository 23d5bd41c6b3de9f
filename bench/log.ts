import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c, PackedRecords, SeededRandom } from '../base/index.ts'
import type { Broker } from '../broker/index.ts'
import { accessLogChunk } from '../cli/access-log.ts'
import type { Bench, BenchContext } from './bench.ts'
import { openLog } from './open-log.ts'

/** What the tailer reads in one go: one batch of the log. */
const BATCH_BYTES = 960 << 10
const READ_BYTES = 1 << 20

/** Batches of 960 KiB of lines, each committed durably before the next, against a plain write + fdatasync of the same bytes. */
export const logAppend: Bench = {
  name: 'log-append',
  unit: 'MB/s',
  against: 'write + fdatasync',
  must: 0.5,
  goal: 0.7,
  async open(context) {
    const batches = linesOf(context.bytes)
    return {
      ours: () => rate(batches, () => appendAll(context, batches)),
      theirs: () => rate(batches, () => writeAll(context, batches)),
      close: async () => {},
    }
  },
}

/** Every record of the log as positions, against reading the same file and checking CRCs only. */
export const logRead: Bench = {
  name: 'log-read',
  unit: 'MB/s',
  against: 'CRC walk of the same file',
  must: 0.5,
  goal: 0.7,
  async open(context) {
    const batches = linesOf(context.bytes)
    await appendAll(context, batches)
    const broker = await openLog(join(context.directory, 'log'))
    return {
      ours: () => rate(batches, () => readAll(broker)),
      theirs: () => rate(batches, () => walkAll(context)),
      close: () => broker.close(),
    }
  },
}

/** A few distinct batches, repeated up to `bytes`: the input must not be what fills the memory. */
function linesOf(bytes: number): readonly PackedRecords[] {
  const random = new SeededRandom(7)
  const distinct = Array.from({ length: 8 }, () => packLines(accessLogChunk(random, BATCH_BYTES, 0, 10).text))
  return Array.from({ length: Math.ceil(bytes / BATCH_BYTES) }, (_, i) => distinct[i % distinct.length]!)
}

function packLines(text: string): PackedRecords {
  const bytes = Buffer.from(text, 'latin1')
  const starts: number[] = []
  const ends: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at)
    starts.push(at)
    ends.push(end)
    at = end + 1
  }
  return new PackedRecords({
    count: starts.length,
    bytes,
    valueStarts: Int32Array.from(starts),
    valueEnds: Int32Array.from(ends),
    timestamps: Date.now(),
  })
}

async function rate(batches: readonly PackedRecords[], work: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await work()
  const bytes = batches.reduce((sum, batch) => sum + batch.bytes.length, 0)
  return bytes / 1e6 / ((performance.now() - started) / 1000)
}

async function appendAll(context: BenchContext, batches: readonly PackedRecords[]): Promise<void> {
  await rm(join(context.directory, 'log'), { recursive: true, force: true })
  const broker = await openLog(join(context.directory, 'log'))
  await broker.ensureTopic({ name: 'lines', configs: {} })
  const writer = await broker.writer('bench')
  for (const batch of batches) {
    const transaction = await writer.begin()
    await transaction.append('lines', 0, batch)
    await transaction.commit()
  }
  await broker.close()
}

async function writeAll({ directory }: BenchContext, batches: readonly PackedRecords[]): Promise<void> {
  const path = join(directory, 'plain')
  await rm(path, { force: true })
  const file = await open(path, 'w')
  for (const { bytes } of batches) {
    await file.write(bytes)
    await file.datasync()
  }
  await file.close()
}

async function readAll(broker: Broker): Promise<void> {
  const { highWatermark } = await broker.partition('lines', 0)
  let records = 0
  for (let offset = 0; offset < highWatermark; ) {
    const { batches, release } = await broker.read('lines', 0, offset, {
      isolation: 'read_committed',
      bytesMax: READ_BYTES,
      waitMs: 0,
    })
    for (const batch of batches) {
      records += batch.records.count
      offset = batch.nextOffset
    }
    release()
  }
  if (records !== highWatermark) throw new Error(`${records} of ${highWatermark} records`)
}

async function walkAll({ directory }: BenchContext): Promise<void> {
  const folder = join(directory, 'log', 'lines-0')
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
