/**
 * The file system as the project sees it. Everything that touches a disk takes a `Files`, so that a test can hand in one
 * that loses what was not synced, runs full or fails at the nth call. Errors carry Node's codes (`ENOENT`, `ENOSPC`,
 * `EIO`, ...). Paths are absolute.
 */
export interface Files {
  open(path: string, mode: OpenMode): Promise<FileHandle>
  /** Follows symbolic links. Rejects with ENOENT when there is nothing. */
  stat(path: string): Promise<FileStat>
  list(directory: string): Promise<readonly string[]>
  /**
   * Creates parents as needed; an existing directory is fine. Mode 0700. Each level that was created is durable only after
   * `syncDirectory` of the one above it.
   */
  mkdir(directory: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Removes a whole tree; nothing there is fine. */
  removeTree(path: string): Promise<void>
  /** Makes creations, renames and unlinks in `directory` durable. */
  syncDirectory(directory: string): Promise<void>
  realpath(path: string): Promise<string>
  /** Bytes that an unprivileged writer may still use on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
  /**
   * Calls `changed` after the file or a direct child of the directory changed. A hint, not a promise: it may come late,
   * twice, or never (network file systems); callers also look by themselves now and then.
   */
  watch(path: string, changed: (name: string | undefined) => void): Watcher
}

/**
 * `read`: must exist. `write`: read and write, created when missing (0600), content kept. `exclusive`: read and write,
 * EEXIST when it exists. Opening never follows into a FIFO or device: those are refused with EINVAL, a directory with
 * EISDIR. Writing never follows a symbolic link (ELOOP): a planted one would redirect it.
 */
export type OpenMode = 'read' | 'write' | 'exclusive'

export interface FileHandle {
  readonly path: string
  /**
   * Reads at most `length` bytes at `position` into `buffer` at `at`; 0 at the end. May be short. `fresh`: they were
   * written a moment ago, so no disk has to be waited for.
   */
  read(buffer: Uint8Array, at: number, length: number, position: number, fresh?: boolean): Promise<number>
  /**
   * Writes all of `buffers` one after the other at `position`: short counts are continued inside. A rejection leaves an
   * unknown prefix written; the caller truncates or rewrites.
   */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** fdatasync. After a rejection nothing written since the last success may be called durable, nor the call retried. */
  datasync(): Promise<void>
  truncate(size: number): Promise<void>
  stat(): Promise<FileStat>
  close(): Promise<void>
}

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'other'
  readonly size: number
  /** Device and inode as decimal strings: both may pass 2^53. */
  readonly dev: string
  readonly ino: string
  readonly mtimeMs: number
}

export interface Watcher {
  close(): void
}

/** The whole file, or undefined when there is none. Rejects with EFBIG above `sizeMax` bytes. */
export async function readWhole(files: Files, path: string, sizeMax = 64 << 20): Promise<Buffer | undefined> {
  let file: FileHandle
  try {
    file = await files.open(path, 'read')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { size } = await file.stat()
    if (size > sizeMax)
      throw Object.assign(new Error(`${path}: ${size} bytes, more than ${sizeMax}`), { code: 'EFBIG' })
    const bytes = Buffer.allocUnsafe(size)
    let length = 0
    while (length < size) {
      const read = await file.read(bytes, length, size - length, length)
      if (read === 0) break
      length += read
    }
    return bytes.subarray(0, length)
  } finally {
    await file.close()
  }
}

/**
 * Replaces `path` so that a power cut leaves the old or the new content, never a mixture: temporary file, fdatasync,
 * rename, directory sync. Only this order survives on ext4 and XFS alike. One at a time for a path.
 */
export async function writeWhole(files: Files, path: string, content: Uint8Array): Promise<void> {
  const slash = path.lastIndexOf('/')
  const temporary = `${path}.tmp`
  const file = await files.open(temporary, 'write')
  try {
    await file.truncate(0)
    await file.write([content], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await files.rename(temporary, path)
  await files.syncDirectory(path.slice(0, slash) || '/')
}
