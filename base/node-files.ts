import fs from 'node:fs'
import { realpath, rename, rm, statfs, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FileHandle, FileStat, Files, OpenMode, Watcher } from './files.ts'

// Windows lacks the two flags that keep an open from waiting and from following a planted link.
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants

/**
 * The links of data files are never followed for writing (a planted link would redirect what we write); a source may read
 * through one, since /var/log is full of them.
 */
const OPEN_FLAGS: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY | O_NONBLOCK,
  write: O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
  exclusive: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK,
}
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

/** The operating system's files. Errors are Node's, with code, call and path. */
export const nodeFiles: Files = {
  async open(path, mode) {
    await refuseOddPath(path, mode)
    const fd = await call<number>(done => fs.open(path, OPEN_FLAGS[mode], FILE_MODE, done))
    const handle = new NodeFileHandle(path, fd)
    try {
      // The path may have been exchanged since it was looked at; what is open now is what counts.
      refuseOdd(path, await handle.stat())
    } catch (error) {
      await handle.close()
      throw error
    }
    return handle
  },

  stat: path => call<fs.BigIntStats>(done => fs.stat(path, { bigint: true }, done)).then(toFileStat),
  list: directory => call<string[]>(done => fs.readdir(directory, done)),
  mkdir: makeDirectories,
  rename,
  unlink,
  removeTree: path => rm(path, { recursive: true, force: true }),

  async syncDirectory(directory) {
    const fd = await call<number>(done => fs.open(directory, O_RDONLY | (fs.constants.O_DIRECTORY ?? 0), done))
    try {
      await call(done => fs.fsync(fd, done))
    } finally {
      await call(done => fs.close(fd, done))
    }
  },

  realpath: path => realpath(path),

  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },

  watch,
}

/**
 * Level by level: Node's own recursion never ends where the system says ENOENT below a directory that is there, as it does
 * in /proc.
 */
async function makeDirectories(directory: string): Promise<void> {
  const make = () => call(done => fs.mkdir(directory, DIRECTORY_MODE, e => done(e)))
  try {
    await make()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && dirname(directory) !== directory) {
      await makeDirectories(dirname(directory))
      // Made by another in the meantime is as good.
      await make().catch(async again => refuseUnlessDirectory(directory, again))
    } else await refuseUnlessDirectory(directory, error)
  }
}

async function refuseUnlessDirectory(path: string, error: unknown): Promise<void> {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'EEXIST' || (await nodeFiles.stat(path)).kind !== 'directory') throw error
}

/**
 * A copy into the page cache of so little is over before another thread would have begun with it. Not while a sync of ours
 * is under way: the file system may let a write wait for it, and all else would wait with it.
 */
const AT_ONCE_BYTES_MAX = 32 << 10
let syncing = 0

type Done<T> = (error: NodeJS.ErrnoException | null, result?: T) => void

/** fs/promises costs 10-20 % more CPU per read, write and fdatasync of 4 KiB (measured), so the callback form is wrapped here. */
function call<T = void>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === null ? resolve(result as T) : reject(error)))
  })
}

/** Opening a FIFO wakes its writer, and opening a device may do anything, so the path is looked at before. */
async function refuseOddPath(path: string, mode: OpenMode): Promise<void> {
  // O_EXCL follows nothing and opens nothing that is there.
  if (mode === 'exclusive') return
  const look = mode === 'read' ? fs.stat : fs.lstat
  let stats: fs.Stats
  try {
    stats = await call<fs.Stats>(done => look(path, done))
  } catch (error) {
    if (mode === 'write' && (error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (stats.isSymbolicLink()) {
    throw systemError('ELOOP', `${path}: a symbolic link, which is never followed for writing; give the real path`)
  }
  refuseOdd(path, { kind: kindOf(stats) })
}

function refuseOdd(path: string, { kind }: Pick<FileStat, 'kind'>): void {
  if (kind === 'directory') throw systemError('EISDIR', `${path}: expected a file, found a directory`)
  if (kind === 'other') throw systemError('EINVAL', `${path}: expected a regular file, found a FIFO, socket or device`)
}

function systemError(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}

function kindOf(stats: fs.Stats | fs.BigIntStats): FileStat['kind'] {
  return stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other'
}

function toFileStat(stats: fs.BigIntStats): FileStat {
  return {
    kind: kindOf(stats),
    size: Number(stats.size),
    dev: String(stats.dev),
    ino: String(stats.ino),
    mtimeMs: Number(stats.mtimeNs) / 1e6,
  }
}

/**
 * Knows how many calls are under way: a descriptor closed beneath a waiting call may be given to another file, and the
 * call would write there.
 */
class NodeFileHandle implements FileHandle {
  readonly path: string
  readonly #fd: number
  #busy = 0
  #closing: Promise<void> | undefined
  #idle: (() => void) | undefined

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  async read(buffer: Uint8Array, at: number, length: number, position: number, fresh = false): Promise<number> {
    if (fresh && length <= AT_ONCE_BYTES_MAX && this.#closing === undefined)
      return fs.readSync(this.#fd, buffer, at, length, position)
    return this.#call(done => fs.read(this.#fd, buffer, at, length, position, done))
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let rest = buffers.filter(buffer => buffer.length > 0)
    let at = position
    while (rest.length > 0) {
      const pending = rest
      // libuv cuts the list at IOV_MAX and goes on by itself, but a full disk ends its loop with a short count: only
      // the next call gets to see ENOSPC.
      const written = this.#writesNow(pending)
        ? fs.writevSync(this.#fd, pending, at)
        : await this.#call<number>(done => fs.writev(this.#fd, pending, at, done))
      if (written === 0) throw systemError('EIO', `${this.path}: the system wrote nothing and gave no reason`)
      at += written
      rest = behind(pending, written)
    }
  }

  async datasync(): Promise<void> {
    syncing++
    try {
      await this.#call(done => fs.fdatasync(this.#fd, done))
    } finally {
      syncing--
    }
  }

  truncate(size: number): Promise<void> {
    return this.#call(done => fs.ftruncate(this.#fd, size, done))
  }

  stat(): Promise<FileStat> {
    return this.#call<fs.BigIntStats>(done => fs.fstat(this.#fd, { bigint: true }, done)).then(toFileStat)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #writesNow(buffers: readonly Uint8Array[]): boolean {
    if (syncing > 0 || this.#closing !== undefined) return false
    let bytes = 0
    for (const { length } of buffers) bytes += length
    return bytes <= AT_ONCE_BYTES_MAX
  }

  async #close(): Promise<void> {
    if (this.#busy > 0) await new Promise<void>(resolve => (this.#idle = resolve))
    await call(done => fs.close(this.#fd, done))
  }

  #call<T = void>(start: (done: Done<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw systemError('EBADF', `${this.path}: used after it was closed`)
      start((error, result) => {
        this.#busy--
        if (this.#busy === 0) this.#idle?.()
        if (error === null) resolve(result as T)
        else reject(error)
      })
      // Behind the start: an argument that Node refuses throws there, and no answer will come.
      this.#busy++
    })
  }
}

/** The buffers without their first `count` bytes. */
function behind(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count
  let i = 0
  while (i < buffers.length && skip >= buffers[i]!.length) skip -= buffers[i++]!.length
  const rest = buffers.slice(i)
  if (skip > 0) rest[0] = rest[0]!.subarray(skip)
  return rest
}

/** A path that cannot be watched gives a watcher that never calls, which the contract allows. */
function watch(path: string, changed: (name: string | undefined) => void): Watcher {
  let watcher: fs.FSWatcher
  try {
    watcher = fs.watch(path, { persistent: false })
  } catch {
    return { close() {} }
  }
  watcher.on('change', (_event, name) => changed(name === null ? undefined : String(name)))
  watcher.on('error', () => {
    watcher.close()
    changed(undefined)
  })
  return { close: () => watcher.close() }
}
