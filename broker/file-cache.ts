import { type FileHandle, type Files, KtsError } from '../base/index.ts'

/** A file held open; `release` once when done. */
export interface FileLease {
  readonly file: FileHandle
  release(): void
}

interface Entry {
  readonly path: string
  readonly opened: Promise<FileHandle>
  /** Once it is open. */
  file: FileHandle | undefined
  users: number
  forgotten: boolean
  closed: Promise<void> | undefined
  /** Wakes `forget` once the last user is gone. */
  readonly idle: (() => void)[]
}

/**
 * Open files of the log, at most about `openMax` of them: the least recently used is closed first. What is leased stays
 * open, so a file with unsynced writes is never closed (the kernel may report its failed write to no one else).
 */
export class FileCache {
  readonly files: Files
  readonly #openMax: number
  /** By path and mode, least recently used first. */
  readonly #entries = new Map<string, Entry>()
  #closed = false

  constructor(files: Files, openMax: number) {
    this.files = files
    this.#openMax = openMax
  }

  /** Opens `path`, or takes it as it is open already. `read` must exist, `write` creates. */
  async lease(path: string, mode: 'read' | 'write'): Promise<FileLease> {
    if (this.#closed) throw new KtsError('CLOSED', `${path}: the log is closed`)
    const key = this.#keyOf(path, mode)
    const entry = this.#entries.get(key) ?? this.#open(path, mode)
    this.#use(key, entry)
    try {
      const file = await entry.opened
      entry.file = file
      this.#evict()
      return this.#leaseOf(entry, file)
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      this.#release(entry)
      throw error
    }
  }

  /** As `lease`, at once, when the file is open already. */
  leaseOpen(path: string, mode: 'read' | 'write'): FileLease | undefined {
    const key = this.#keyOf(path, mode)
    const entry = this.#entries.get(key)
    if (entry?.file === undefined) return undefined
    this.#use(key, entry)
    return this.#leaseOf(entry, entry.file)
  }

  /** Closes the file once its users are done; resolves then. A later lease opens whatever has that name by then. */
  async forget(path: string): Promise<void> {
    for (const key of [`read ${path}`, `write ${path}`]) {
      const entry = this.#entries.get(key)
      if (entry === undefined) continue
      this.#entries.delete(key)
      entry.forgotten = true
      if (entry.users > 0) await new Promise<void>(resolve => entry.idle.push(resolve))
      await this.#close(entry)
    }
  }

  /** Opens nothing from now on, and closes each file once its users are done. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#entries.values()].map(entry => this.forget(entry.path)))
  }

  /** A file that is open for writing is read by the same handle. */
  #keyOf(path: string, mode: 'read' | 'write'): string {
    return mode === 'read' && !this.#entries.has(`write ${path}`) ? `read ${path}` : `write ${path}`
  }

  #open(path: string, mode: 'read' | 'write'): Entry {
    const opened = this.files.open(path, mode)
    return { path, opened, file: undefined, users: 0, forgotten: false, closed: undefined, idle: [] }
  }

  /** Makes it the one used last. */
  #use(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    entry.users++
  }

  #leaseOf(entry: Entry, file: FileHandle): FileLease {
    let released = false
    const release = () => {
      if (released) return
      released = true
      this.#release(entry)
    }
    return { file, release }
  }

  #release(entry: Entry): void {
    entry.users--
    if (entry.users > 0) return
    for (const wake of entry.idle.splice(0)) wake()
    if (!entry.forgotten) this.#evict()
  }

  #evict(): void {
    if (this.#entries.size <= this.#openMax) return
    for (const [key, entry] of this.#entries) {
      if (entry.users > 0) continue
      this.#entries.delete(key)
      // Nothing unsynced is behind it, so a failed close loses nothing.
      this.#close(entry).catch(() => {})
      if (this.#entries.size <= this.#openMax) return
    }
  }

  #close(entry: Entry): Promise<void> {
    entry.closed ??= entry.opened.then(
      file => file.close(),
      // It never was open: who asked for it was told.
      () => undefined,
    )
    return entry.closed
  }
}
