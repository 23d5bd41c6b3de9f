import { errorCode, type Files } from '../base/index.ts'

/** Folders above ours need not be ours to read: they were durable before we came. */
const FOREIGN_REFUSALS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL'])

/**
 * Creates a folder and what is missing above it, each durable in its parent. So are those that stood before: whoever made
 * them may have been killed before the sync, and a power cut would then take all that is put into them.
 */
export async function makeDirectory(files: Files, path: string): Promise<void> {
  if (path === '/') return
  const parent = path.slice(0, path.lastIndexOf('/')) || '/'
  await makeDirectory(files, parent)
  const stood = await exists(files, path)
  if (!stood) await files.mkdir(path)
  await files.syncDirectory(parent).catch(error => {
    if (!stood || !FOREIGN_REFUSALS.has(errorCode(error))) throw error
  })
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
