import { errorCode, type FileHandle, type Files, KtsError, readWhole, writeWhole } from '../../runtime/api/index.ts'
import { ensureDurableDirectory, parentOf } from '../durable-directory.ts'
import type { ObjectStore, ObjectWriter } from './object-store.ts'

/**
 * Where unfinished objects lie: one folder beside the topics, so that what a kill left is found without a walk through
 * years of data. Readers that take every file (Spark, Hive, DuckDB's `**`) skip names with a dot.
 */
const UNFINISHED = '.unfinished'

/** Directories known to be durable; forgetting one costs a few directory syncs. */
const KNOWN_DIRECTORIES_MAX = 4096

/**
 * Objects as files of a local directory. An object is written to a temporary file, synced, renamed and its directory
 * synced: a power cut leaves the whole object or none (reliability.md, finding 1).
 */
export class DirectoryStore implements ObjectStore {
  readonly place: string
  readonly #files: Files
  readonly #unfinished: string
  readonly #durable = new Set<string>()

  /** `root` is absolute and created when missing; every key begins with `prefix` (`''` or ending in `/`). */
  constructor(files: Files, root: string, prefix: string) {
    this.#files = files
    this.place = root.length > 1 && root.endsWith('/') ? root.slice(0, -1) : root
    this.#unfinished = this.#path(`${prefix}${UNFINISHED}`)
  }

  create(key: string): ObjectWriter {
    const name = key.slice(key.lastIndexOf('/') + 1)
    return new FileObject(this.#files, `${this.#unfinished}/${name}`, this.#path(key), directory =>
      this.#ensure(directory),
    )
  }

  async sweep(own: (name: string) => boolean): Promise<number> {
    let swept = 0
    for (const name of await this.#list(this.#unfinished)) {
      if (!own(name)) continue
      await this.#files.unlink(`${this.#unfinished}/${name}`)
      swept++
    }
    return swept
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(key)
    try {
      await this.#ensure(parentOf(path))
      await writeWhole(this.#files, path, bytes)
    } catch (cause) {
      throw explained(cause, path)
    }
  }

  async get(key: string): Promise<Buffer | undefined> {
    try {
      return await readWhole(this.#files, this.#path(key), Number.MAX_SAFE_INTEGER)
    } catch (cause) {
      throw explained(cause, this.#path(key))
    }
  }

  async delete(key: string): Promise<void> {
    await this.#files.unlink(this.#path(key)).catch(ignoreAbsent)
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    return `${this.place === '/' ? '' : this.place}/${key}`
  }

  async #list(directory: string): Promise<readonly string[]> {
    try {
      return await this.#files.list(directory)
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return []
      throw explained(cause, directory)
    }
  }

  /** The directory exists and will after a power cut, and so will all above it. */
  async #ensure(directory: string): Promise<void> {
    if (this.#durable.has(directory)) return
    await ensureDurableDirectory(this.#files, directory, this.place)
    if (this.#durable.size >= KNOWN_DIRECTORIES_MAX) this.#durable.clear()
    this.#durable.add(directory)
  }
}

/** One object: chunks go to a temporary file at growing positions, so a chunk that failed is written over. */
class FileObject implements ObjectWriter {
  readonly held = 0
  readonly #files: Files
  readonly #temporary: string
  readonly #path: string
  readonly #ensure: (directory: string) => Promise<void>
  #file: FileHandle | undefined
  #size = 0
  #syncFailed: unknown
  #step: 'writing' | 'synced' | 'renamed' = 'writing'

  constructor(files: Files, temporary: string, path: string, ensure: (directory: string) => Promise<void>) {
    this.#files = files
    this.#temporary = temporary
    this.#path = path
    this.#ensure = ensure
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      const file = await this.#open()
      await file.write([chunk], this.#size)
      this.#size += chunk.length
    } catch (cause) {
      throw explained(cause, this.#temporary)
    }
  }

  async commit(): Promise<void> {
    try {
      if (this.#step === 'writing') await this.#sync()
      if (this.#step === 'synced') {
        await this.#ensure(parentOf(this.#path))
        await this.#files.rename(this.#temporary, this.#path)
        this.#step = 'renamed'
      }
      await this.#syncName()
    } catch (cause) {
      throw explained(cause, this.#path)
    }
  }

  async abort(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
    if (this.#step !== 'renamed') await this.#files.unlink(this.#temporary).catch(ignoreAbsent)
  }

  async #open(): Promise<FileHandle> {
    if (this.#file !== undefined) return this.#file
    await this.#ensure(parentOf(this.#temporary))
    const file = await this.#files.open(this.#temporary, 'write')
    this.#file = file
    await file.truncate(0)
    return file
  }

  async #sync(): Promise<void> {
    // A failed fdatasync may have dropped what it could not write, and would report success the next time.
    if (this.#syncFailed !== undefined) throw syncFailed(this.#temporary, this.#syncFailed)
    const file = await this.#open()
    // What a failed write left behind the last good chunk.
    await file.truncate(this.#size)
    try {
      await file.datasync()
    } catch (cause) {
      this.#syncFailed = cause
      throw syncFailed(this.#temporary, cause)
    }
    // Before the close: what is durable must not be begun anew when only that fails.
    this.#step = 'synced'
    this.#file = undefined
    await file.close()
  }

  async #syncName(): Promise<void> {
    if (this.#syncFailed !== undefined) throw syncFailed(this.#path, this.#syncFailed)
    try {
      await this.#files.syncDirectory(parentOf(this.#path))
    } catch (cause) {
      this.#syncFailed = cause
      throw syncFailed(this.#path, cause)
    }
  }
}

function ignoreAbsent(error: unknown): void {
  if (errorCode(error) !== 'ENOENT') throw error
}

function syncFailed(path: string, cause: unknown): KtsError {
  return new KtsError(
    'STORAGE_FAILED',
    `${path}: the disk did not confirm what was written (${errorCode(cause)}); the object is written anew. Look at the disk.`,
    { cause },
  )
}

/** System errors that a restart cannot mend get words; the others keep their code, which decides. */
function explained(cause: unknown, path: string): unknown {
  const code = errorCode(cause)
  if (code === 'EACCES' || code === 'EPERM') {
    return new KtsError(
      'ACCESS_DENIED',
      `${path}: not permitted (${code}). Give the directory to the user that runs kts-connect: chown -R "$(id -un)" <directory>`,
      { cause },
    )
  }
  if (code === 'EROFS') {
    return new KtsError('ACCESS_DENIED', `${path}: the file system is mounted read-only; choose another store.url`, {
      cause,
    })
  }
  if (code === 'ENOTDIR' || code === 'EISDIR' || code === 'ENAMETOOLONG') {
    return new KtsError('CONFIG_INVALID', `${path}: expected a directory that can hold objects (${code})`, { cause })
  }
  return cause
}
