import { type FileHandle, type Files, readWhole } from '../../base/files.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'

/** A directory whose own name is durable. */
export async function disk(seed: number, capacityBytes?: number): Promise<MemoryFiles> {
  const files = new MemoryFiles(new SeededRandom(seed), capacityBytes === undefined ? {} : { capacityBytes })
  await files.mkdir('/d')
  await files.syncDirectory('/')
  return files
}

/** The content, or undefined where there is no file. */
export async function text(files: Files, path: string): Promise<string | undefined> {
  return (await readWhole(files, path))?.toString('latin1')
}

/** What `look` sees after a power cut, over many seeds: every outcome once, sorted. */
export async function outcomes(
  before: (files: MemoryFiles) => Promise<void>,
  look: (files: MemoryFiles) => Promise<string | undefined>,
  seeds = 300,
): Promise<string[]> {
  const seen = new Set<string>()
  for (let seed = 1; seed <= seeds; seed++) {
    const files = await disk(seed)
    await before(files)
    seen.add((await look(files.powerCut())) ?? 'none')
  }
  return [...seen].sort()
}

export async function write(file: FileHandle, position: number, content: string): Promise<void> {
  await file.write([Buffer.from(content, 'latin1')], position)
}
