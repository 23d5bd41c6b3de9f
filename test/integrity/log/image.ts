import { type Clock, type Files, readWhole, SeededRandom } from '../../../base/index.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'

/** Every file below a folder, with its content. */
export type Image = ReadonlyMap<string, Buffer>

export async function imageOf(files: Files, directory: string): Promise<Image> {
  const image = new Map<string, Buffer>()
  for (const name of [...(await files.list(directory))].sort()) {
    const path = `${directory}/${name}`
    if ((await files.stat(path)).kind === 'directory')
      for (const [below, bytes] of await imageOf(files, path)) image.set(below, bytes)
    else image.set(path, Buffer.from((await readWhole(files, path))!))
  }
  return image
}

/** A disk in memory that holds the files, all of them durable. */
export async function diskOf(image: Image, clock: Clock): Promise<MemoryFiles> {
  const files = new MemoryFiles(new SeededRandom(1), { clock })
  const directories = new Set<string>(['/'])
  for (const [path, bytes] of image) {
    const parts = path.split('/').slice(1, -1)
    for (const [depth] of parts.entries()) directories.add(`/${parts.slice(0, depth + 1).join('/')}`)
    await files.mkdir(`/${parts.join('/')}`)
    const file = await files.open(path, 'exclusive')
    await file.write([bytes], 0)
    await file.datasync()
    await file.close()
  }
  for (const directory of directories) await files.syncDirectory(directory)
  return files
}
