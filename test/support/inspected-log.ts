import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Files, ManualClock, PackedWriter, readWhole, SeededRandom, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { dumpPartition } from '../../broker/log-inspection-dump.ts'
import { findLogFolders } from '../../broker/log-inspection-folders.ts'
import { dumpJson } from '../../cli/dump-text.ts'
import { openPartition, SETTINGS } from './golden.ts'

export const FOLDER = '/data/log-0'

/** A disk in memory with nothing on it but `/data`, which is durable. */
export async function emptyDisk(seed = 1): Promise<MemoryFiles> {
  const files = new MemoryFiles(new SeededRandom(seed))
  await files.mkdir(FOLDER)
  await files.syncDirectory('/')
  await files.syncDirectory('/data')
  return files
}

/** A partition of several segments as our engine writes it, closed in good order. */
export async function ownLog(files: MemoryFiles): Promise<void> {
  const settings = { ...SETTINGS, segmentBytes: 4000, indexIntervalBytes: 300, codec: 'lz4' as const }
  const partition = await openPartition(FOLDER, { files, settings, clock: new ManualClock(1_700_000_000_000) })
  for (let batch = 0; batch < 60; batch++) {
    const packed = new PackedWriter()
    for (let i = 0; i < 5; i++)
      packed.add(Buffer.from(`k${batch}`), Buffer.from(text(batch, i)), undefined, 1000 * batch + i)
    await partition.append([packed.build()])
    await partition.sync()
  }
  await partition.close()
}

function text(batch: number, i: number): string {
  return `record ${i} of batch ${batch}: ${new SeededRandom(batch * 10 + i).bytes(20).toString('hex')}`
}

/** The files of a folder of the golden data, durable on a disk in memory. */
export async function goldenLog(files: Files, folder: string): Promise<void> {
  for (const name of readdirSync(folder)) await writeWhole(files, `${FOLDER}/${name}`, readFileSync(join(folder, name)))
}

/** Changes bytes of a file for good. */
export async function alter(files: Files, path: string, change: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  const bytes = (await readWhole(files, path))!
  await writeWhole(files, path, change(bytes) ?? bytes)
}

/** Every record that can be read, by offset. */
export async function recordsOf(files: Files): Promise<Map<number, string>> {
  const records = new Map<number, string>()
  const { partitions } = await findLogFolders(files, FOLDER)
  await dumpPartition(files, partitions[0]!, { deep: true }, async item => {
    if (item.kind === 'record') records.set(item.offset, dumpJson(item))
  })
  return records
}
