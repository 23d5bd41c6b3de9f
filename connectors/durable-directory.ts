import { errorCode, type Files } from '../runtime/api/index.ts'

/** Directories above ours need not be ours to read, nor writable; those were durable before we came. */
const FOREIGN_REFUSALS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL'])

/**
 * Makes `directory` (absolute) and everything above it, so that a power cut leaves them: a file is worth nothing when the
 * directory that holds it is lost. Directories that stood before are synced once more, since whoever made them may have
 * been killed before. What lies above `own` may refuse.
 */
export async function ensureDurableDirectory(files: Files, directory: string, own: string): Promise<void> {
  await files.mkdir(directory)
  for (const above of ancestorsOf(directory)) {
    const ours = above.length >= own.length
    await files.syncDirectory(above).catch(error => {
      if (ours || !FOREIGN_REFUSALS.has(errorCode(error))) throw error
    })
  }
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

/** From `/` down to the parent of `directory`. */
function ancestorsOf(directory: string): string[] {
  const found: string[] = []
  for (let at = directory; at !== '/'; at = parentOf(at)) found.push(parentOf(at))
  return found.reverse()
}
