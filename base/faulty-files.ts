import type { FileHandle, FileStat, Files, OpenMode, Watcher } from './files.ts'
import { MemoryFileHandle } from './memory-handle.ts'

/** The calls of Files and of its handles; `fstat` and `close` are those of a handle. */
export type FileCall =
  | 'open'
  | 'stat'
  | 'list'
  | 'mkdir'
  | 'rename'
  | 'unlink'
  | 'removeTree'
  | 'syncDirectory'
  | 'realpath'
  | 'freeBytes'
  | 'read'
  | 'write'
  | 'datasync'
  | 'truncate'
  | 'fstat'
  | 'close'

export interface Fault {
  readonly call: FileCall
  /** Which paths it is about; all when left out. A rename is asked about both of its. */
  readonly path?: (path: string) => boolean
  /** The first of the matching calls that is hit, counted from 1 since the fault was set. */
  readonly nth?: number
  /** How many are hit one after the other: 1, or Infinity until it is cleared. */
  readonly times?: number
  /** The code to fail with (`EIO`, `ENOSPC`, ...). Left out: the call goes on after `until`, or shortened. */
  readonly error?: string
  /** A write does so many bytes before it fails; a read gives no more than these. */
  readonly partialBytes?: number
  /** The call waits for this first. */
  readonly until?: Promise<unknown>
}

/** Called before each call, with its number among all calls so far; a rejection fails the call. */
export type BeforeCall = (call: FileCall, path: string, number: number) => void | Promise<void>

/**
 * Any file system, with calls that fail, wait or fall short where a test says so. A failed datasync on MemoryFiles also
 * loses what it was to make durable, as kernels do, so code that retries one and believes it is found out.
 */
export class FaultyFiles implements Files {
  readonly #inner: Files
  readonly #before: BeforeCall | undefined
  readonly #faults = new Set<{ readonly fault: Fault; seen: number }>()
  readonly #counts = new Map<FileCall, number>()
  #total = 0

  constructor(inner: Files, before?: BeforeCall) {
    this.#inner = inner
    this.#before = before
  }

  /** Sets a fault and answers how to clear it. Of several that match one call, the first set decides. */
  fail(fault: Fault): () => void {
    const entry = { fault, seen: 0 }
    this.#faults.add(entry)
    return () => void this.#faults.delete(entry)
  }

  clear(): void {
    this.#faults.clear()
  }

  /** How often a call was made, failures included. */
  count(call: FileCall): number {
    return this.#counts.get(call) ?? 0
  }

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    await this.#enter('open', path)
    return this.#wrap(await this.#inner.open(path, mode))
  }

  async stat(path: string): Promise<FileStat> {
    await this.#enter('stat', path)
    return this.#inner.stat(path)
  }

  async list(directory: string): Promise<readonly string[]> {
    await this.#enter('list', directory)
    return this.#inner.list(directory)
  }

  async mkdir(directory: string): Promise<void> {
    await this.#enter('mkdir', directory)
    return this.#inner.mkdir(directory)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#enter('rename', from, to)
    return this.#inner.rename(from, to)
  }

  async unlink(path: string): Promise<void> {
    await this.#enter('unlink', path)
    return this.#inner.unlink(path)
  }

  async removeTree(path: string): Promise<void> {
    await this.#enter('removeTree', path)
    return this.#inner.removeTree(path)
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#enter('syncDirectory', directory)
    return this.#inner.syncDirectory(directory)
  }

  async realpath(path: string): Promise<string> {
    await this.#enter('realpath', path)
    return this.#inner.realpath(path)
  }

  async freeBytes(path: string): Promise<number> {
    await this.#enter('freeBytes', path)
    return this.#inner.freeBytes(path)
  }

  watch(path: string, changed: (name: string | undefined) => void): Watcher {
    return this.#inner.watch(path, changed)
  }

  #wrap(handle: FileHandle): FileHandle {
    const { path } = handle
    return {
      path,
      read: async (buffer, at, length, position, fresh) => {
        const fault = await this.#enter('read', path)
        return handle.read(buffer, at, Math.min(length, fault?.partialBytes ?? length), position, fresh)
      },
      write: async (buffers, position) => {
        await this.#enterWrite(handle, buffers, position)
        return handle.write(buffers, position)
      },
      datasync: async () => {
        await this.#enterDatasync(handle)
        return handle.datasync()
      },
      truncate: async size => {
        await this.#enter('truncate', path)
        return handle.truncate(size)
      },
      stat: async () => {
        await this.#enter('fstat', path)
        return handle.stat()
      },
      close: async () => {
        await this.#enter('close', path).catch(async error => {
          // A close that fails has closed, on every system we run on.
          await handle.close()
          throw error
        })
        return handle.close()
      },
    }
  }

  async #enterWrite(handle: FileHandle, buffers: readonly Uint8Array[], position: number): Promise<void> {
    const fault = await this.#meet('write', handle.path)
    if (fault?.error === undefined) return
    const whole = Buffer.concat(buffers)
    await handle.write([whole.subarray(0, fault.partialBytes ?? 0)], position)
    throw faultError(fault.error, 'write', handle.path)
  }

  async #enterDatasync(handle: FileHandle): Promise<void> {
    const fault = await this.#meet('datasync', handle.path)
    if (fault?.error === undefined) return
    if (handle instanceof MemoryFileHandle) handle.loseUnsynced()
    throw faultError(fault.error, 'fdatasync', handle.path)
  }

  async #enter(call: FileCall, path: string, otherPath = path): Promise<Fault | undefined> {
    const fault = await this.#meet(call, path, otherPath)
    if (fault?.error !== undefined) throw faultError(fault.error, call, path)
    return fault
  }

  /** Counts the call, tells the hook, and finds the fault that hits it. */
  async #meet(call: FileCall, path: string, otherPath = path): Promise<Fault | undefined> {
    this.#counts.set(call, this.count(call) + 1)
    const number = ++this.#total
    let hit: Fault | undefined
    for (const entry of this.#faults) {
      const { fault } = entry
      const about = fault.path ?? (() => true)
      if (fault.call !== call || !(about(path) || about(otherPath))) continue
      entry.seen++
      const nth = fault.nth ?? 1
      if (entry.seen >= nth && entry.seen < nth + (fault.times ?? 1)) hit ??= fault
    }
    await this.#before?.(call, path, number)
    await hit?.until
    return hit
  }
}

function faultError(code: string, call: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected into ${call} '${path}'`), { code, syscall: call, path })
}
