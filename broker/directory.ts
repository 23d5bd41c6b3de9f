import { errorCode, type Files } from '../base/index.ts'

/** Creates a folder and what is missing above it, each durable in its parent. */
export async function makeDirectory(files: Files, path: string): Promise<void> {
  if (await exists(files, path)) return
  const parent = path.slice(0, path.lastIndexOf('/')) || '/'
  await makeDirectory(files, parent)
  await files.mkdir(path)
  await files.syncDirectory(parent)
}

export async function exists(files: Files, path: string): Promise<boolean> {
  try {
    await files.stat(path)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}
