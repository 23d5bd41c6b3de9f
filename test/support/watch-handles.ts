import type { FileHandle, Files } from '../../base/files.ts'

/** The handles that `files` has open at any time from now on. */
export function watchHandles(files: Files): ReadonlySet<FileHandle> {
  const handles = new Set<FileHandle>()
  const open = files.open.bind(files)
  files.open = async (path, mode) => {
    const handle = await open(path, mode)
    const close = handle.close.bind(handle)
    handle.close = async () => {
      handles.delete(handle)
      await close()
    }
    handles.add(handle)
    return handle
  }
  return handles
}
