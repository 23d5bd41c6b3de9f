import { errorCode, type Files } from '../base/index.ts'

/** Creates a folder and what is missing above it, each durable in its parent. */
export async function makeDirectory(files: Files, path: string): Promise<void> {
  try {
    await files.stat(path)
    return
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
  const parent = path.slice(0, path.lastIndexOf('/')) || '/'
  await makeDirectory(files, parent)
  await files.mkdir(path)
  await files.syncDirectory(parent)
}
