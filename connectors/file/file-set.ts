import {
  type Clock,
  errorCode,
  errorMessage,
  type Files,
  type Logger,
  type Random,
  randomId,
  type SourceCheckpoint,
} from '../../runtime/api/index.ts'
import { type FileCheckpoint, forgetCheckpoint } from './checkpoints.ts'
import { CopyFinder } from './copy-finder.ts'
import { ACCESS_REMEDY, type Discovery, type Found } from './discovery.ts'
import { type FoundFile, Listing } from './listing.ts'
import { type Attached, keyOf, type Reading, TailedFile } from './tailed-file.ts'

/** A file that is gone may come back (a remount, a restore), so its position outlives it for so long. */
const FORGET_AFTER_MS = 3_600_000
/** So long a lost file is looked for under rotated names. */
const SEEK_LOST_MS = 60_000
/** What log rotation puts behind a name: `.1`, `-20261120`, `.2026-11-20-16`. */
const ROTATION_SUFFIX = /^[.\-_]\d[\d\-_.T:]*$/
/** There is no file under the name (any more): nothing, or a directory, a FIFO or a link in a circle. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EINVAL', 'ELOOP'])
const COMPRESSED = /\.(gz|bz2|xz|zst)$/

export interface FileSetParts {
  readonly discovery: Discovery
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly count: (event: string) => void
  readonly reading: Reading
  readonly rotateWaitMs: number
  /** The connector has never run, and begins at the end of the files that are there. */
  readonly fromEnd: boolean
}

/**
 * The files that are followed: decides, each time it looks, which of what is on disk is which of what was read. A file is
 * first sought by its inode, wherever its name went, then by its content among its siblings (`<name>*`: a rotated copy);
 * what is left is new.
 */
export class FileSet {
  /** Files that may have something to read, in the order in which they wait for it. */
  readonly ready = new Set<TailedFile>()
  /** Files whose position must be saved although nothing was read. */
  readonly dirty = new Set<TailedFile>()
  readonly #parts: FileSetParts
  readonly #copies: CopyFinder
  readonly #files = new Set<TailedFile>()
  readonly #byKey = new Map<string, TailedFile>()
  /** The newest file of each name. */
  readonly #byPath = new Map<string, TailedFile>()
  #byCurrentPath: ReadonlyMap<string, TailedFile> = new Map()
  readonly #unreadable = new Set<string>()
  /** Ages of files under rotated names, by the name they had: there may be others that nobody has seen. */
  readonly #rotated = new Map<string, { readonly oldestFresh: number; readonly newest: number }>()
  /** Complained about, so that it is said once and not at every look. */
  readonly #said = new Set<string>()
  #forgotten: SourceCheckpoint[] = []
  #fromEnd: boolean

  constructor(parts: FileSetParts, checkpoints: readonly FileCheckpoint[]) {
    this.#parts = parts
    this.#fromEnd = parts.fromEnd
    this.#copies = new CopyFinder(parts.files, parts.clock, parts.rotateWaitMs)
    const now = parts.clock.monotonic()
    for (const { id, position } of checkpoints) {
      const file = new TailedFile(id, position, true, now, parts.reading)
      this.#files.add(file)
      this.#byPath.set(file.path, file)
    }
  }

  get size(): number {
    return this.#files.size
  }

  /** Something cannot be read, or not be told yet from a copy. */
  get unsettled(): boolean {
    return this.#unreadable.size > 0 || this.#copies.undecided
  }

  /** The followed file that now has this name, if any. */
  at(path: string): TailedFile | undefined {
    return this.#byCurrentPath.get(path)
  }

  /** Directories in which a change matters. */
  directories(found: Found): ReadonlySet<string> {
    const directories = new Set(found.listing.directories)
    for (const { currentPath } of this.#files) if (currentPath !== undefined) directories.add(directoryOf(currentPath))
    return directories
  }

  /** Checkpoints to remove, once. */
  takeForgotten(): readonly SourceCheckpoint[] {
    const forgotten = this.#forgotten
    this.#forgotten = []
    return forgotten
  }

  /** Brings the followed files in line with what was found. */
  async settle(found: Found): Promise<void> {
    this.#unreadable.clear()
    for (const path of found.unreadable) this.#unreadable.add(path)
    const names = new Map(found.files.map(file => [file.path, file]))
    const keys = new Map(found.files.map(file => [keyOf(file.stat), file]))
    const replaced: TailedFile[] = []
    for (const file of [...this.#files]) {
      const place = await this.#placeOf(file, names, keys, found.listing)
      if (place === undefined) await this.#unseen(file, found)
      else if ((await this.#seen(file, place)) === 'replaced') replaced.push(file)
    }
    // The rotation that replaced them may be younger than what was found, and so may be the copies that it made.
    const listing = new Listing(this.#parts.files)
    for (const file of replaced) await this.replaced(file, listing)
    await this.#admitBetween(listing)
    for (const file of found.files) if (!this.#follows(file)) await this.#admit(file)
    this.#fromEnd = false
    this.#forgetLost()
    this.#byCurrentPath = new Map([...this.#files].map(file => [file.currentPath ?? '', file]))
  }

  /** The file has other content before its position than was read: what was left of it may be in a copy. */
  async replaced(file: TailedFile, listing: Listing): Promise<void> {
    const { count, log } = this.#parts
    count('files.truncated')
    const unread = file.unread
    await this.#detach(file)
    if (await this.#continueInCopy(file, listing)) {
      log.info(
        { path: file.path, copy: file.currentPath },
        'the file was truncated or replaced; the rest is in its copy',
      )
      return
    }
    const facts = { path: file.path, offset: file.offset, unread }
    log.warn(facts, 'the file was truncated or replaced; what was behind the offset and not read yet is lost')
    this.#forget(file)
  }

  /** A file could not be opened: gone, which the next look sorts out, or forbidden. Throws anything else. */
  unopened(file: TailedFile, error: unknown): void {
    if (GONE.has(errorCode(error))) return
    if (errorCode(error) !== 'EACCES' && errorCode(error) !== 'EPERM') throw error
    const path = file.currentPath ?? file.path
    this.#sayUnreadable(path, error)
  }

  /** Read to its end, and nothing leads to it any more. */
  async finish(file: TailedFile): Promise<void> {
    await this.#detach(file)
    file.lostAt = this.#parts.clock.monotonic()
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close()
  }

  /** A file that went on in a copy has another inode since then, and its old one may be given to any other. */
  #follows({ stat }: FoundFile): boolean {
    return this.#byKey.get(keyOf(stat))?.key === keyOf(stat)
  }

  /** Where the file is now, by its inode. */
  async #placeOf(
    file: TailedFile,
    names: ReadonlyMap<string, FoundFile>,
    keys: ReadonlyMap<string, FoundFile>,
    listing: Listing,
  ): Promise<FoundFile | undefined> {
    // A directory may have been given the inode of a file that was deleted.
    const isIt = (found: FoundFile | undefined) => found?.stat.kind === 'file' && keyOf(found.stat) === file.key
    if (file.currentPath !== undefined) {
      const here = names.get(file.currentPath) ?? (await this.#look(file.currentPath))
      if (isIt(here)) return here
    }
    const elsewhere = keys.get(file.key)
    if (elsewhere !== undefined) return elsewhere
    if (file.lostAt === undefined) return (await this.#neighbours(file.path, listing)).find(isIt)
    // A rename while the directory was listed hides a file for a moment. Later its inode may be any other file's.
    if (this.#parts.clock.monotonic() - file.lostAt >= SEEK_LOST_MS) return undefined
    return (await this.#siblings(file.path, listing)).find(isIt)
  }

  #setRotated(file: TailedFile, mtimeMs: number): void {
    const fresh = file.rotatedAt === undefined
    file.rotatedAt ??= this.#parts.clock.monotonic()
    const known = this.#rotated.get(file.path) ?? { oldestFresh: Number.POSITIVE_INFINITY, newest: 0 }
    const oldestFresh = fresh ? Math.min(known.oldestFresh, mtimeMs) : known.oldestFresh
    this.#rotated.set(file.path, { oldestFresh, newest: Math.max(known.newest, mtimeMs) })
  }

  /**
   * Files that came and went under a name between two looks: rotated siblings that nobody follows, and no older than the
   * last one that was followed under that name.
   */
  async #admitBetween(listing: Listing): Promise<void> {
    for (const [path, { oldestFresh, newest }] of this.#rotated) {
      const siblings = await this.#siblings(path, listing)
      for (const sibling of siblings.reverse()) {
        const { size, mtimeMs } = sibling.stat
        if (size === 0 || mtimeMs < Math.min(oldestFresh, newest) || this.#follows(sibling)) continue
        if (ROTATION_SUFFIX.test(sibling.path.slice(path.length))) await this.#admit(sibling, path)
      }
    }
    this.#rotated.clear()
  }

  async #seen(file: TailedFile, place: FoundFile): Promise<'replaced' | undefined> {
    if (file.lostAt !== undefined) file.verified = false
    file.lostAt = undefined
    file.currentPath = place.path
    if (place.path !== file.path && (await this.#realPath(place.path)) !== file.path)
      this.#setRotated(file, place.stat.mtimeMs)
    if (!file.verified) {
      const attached = await this.#attach(file, place.path)
      if (attached === 'replaced') return attached
      // It cannot be compared now, and is no new file for that.
      if (attached !== 'same') {
        this.#byKey.set(file.key, file)
        return undefined
      }
    }
    // Before anything unknown is taken for a new file: it may be the copy of what was here.
    if (file.isOpen && file.changed(place.stat) && !(await file.isIntact())) return 'replaced'
    this.#byKey.set(file.key, file)
    if (file.changed(place.stat) || (file.rotatedAt !== undefined && file.unread > 0)) this.ready.add(file)
    return undefined
  }

  async #unseen(file: TailedFile, found: Found): Promise<void> {
    const now = this.#parts.clock.monotonic()
    if (file.lostAt !== undefined) return
    // What cannot be looked at is not gone.
    if (found.unreadable.some(path => file.path === path || file.path.startsWith(`${path}/`))) return
    file.rotatedAt ??= now
    file.currentPath = undefined
    if (file.isOpen) {
      this.ready.add(file)
      return
    }
    await this.#detach(file)
    if (await this.#continueInCopy(file, found.listing)) return
    file.lostAt = now
    if (file.unread > 0 || !file.verified) await this.#sayLost(file, found.listing)
  }

  async #sayLost(file: TailedFile, listing: Listing): Promise<void> {
    const { count, log } = this.#parts
    const siblings = await this.#siblings(file.path, listing)
    const compressed = siblings.filter(({ path }) => COMPRESSED.test(path)).map(({ path }) => path)
    const facts = { path: file.path, offset: file.offset, unread: file.verified ? file.unread : undefined }
    if (compressed.length > 0) {
      count('files.rotated.compressed')
      const message =
        'the file is gone and may have been compressed: what was behind the offset was not read; unpack the copy under its rotated name to have it read, or rotate with delaycompress'
      log.warn({ ...facts, compressed }, message)
      return
    }
    count('files.lost')
    log.warn(facts, 'the file is gone: what was behind the offset, if anything, was not read')
  }

  /** Goes on in a sibling that holds all that was read of the file, and is no file of its own yet. */
  async #continueInCopy(file: TailedFile, listing: Listing): Promise<boolean> {
    if (file.offset === 0) return false
    for (const sibling of await this.#siblings(file.path, listing)) {
      const { size, mtimeMs } = sibling.stat
      // A copy is no older than what it copies; what is followed already is no copy.
      if (size < file.offset || mtimeMs < file.mtimeMs || this.#follows(sibling)) continue
      if ((await this.#attach(file, sibling.path)) !== 'same') continue
      if (sibling.path !== file.path) this.#setRotated(file, mtimeMs)
      this.#byKey.set(file.key, file)
      this.ready.add(file)
      this.dirty.add(file)
      return true
    }
    return false
  }

  /** `rotatedFrom`: the name it had before this was first seen. */
  async #admit(found: FoundFile, rotatedFrom?: string): Promise<void> {
    const { clock, random, reading } = this.#parts
    try {
      const lost = [...this.#files].find(file => file.lostAt !== undefined && file.key === keyOf(found.stat))
      if (lost !== undefined && (await this.#attach(lost, found.path)) === 'same') return this.#revive(lost)
      const original = await this.#copies.originalOf(found, this.#byPath)
      if (original === 'undecided') return
      if (original !== undefined && original.lostAt === undefined) return
      if (original !== undefined && (await this.#attach(original, found.path)) === 'same') return this.#revive(original)
      const path = rotatedFrom ?? (await this.#realPath(found.path)) ?? found.path
      const file = TailedFile.begin(randomId(random), path, found.stat, clock.monotonic(), reading)
      if (rotatedFrom !== undefined) file.rotatedAt = clock.monotonic()
      file.currentPath = found.path
      file.verified = true
      if (this.#fromEnd && rotatedFrom === undefined) await this.#beginAtEnd(file)
      this.#files.add(file)
      this.#byKey.set(file.key, file)
      this.#byPath.set(file.path, file)
      // Known from now on, before a line of it was read: it may be renamed out of the paths while nobody looks.
      this.dirty.add(file)
      if (found.stat.size > 0) this.ready.add(file)
    } catch (error) {
      if (GONE.has(errorCode(error))) return
      if (errorCode(error) !== 'EACCES' && errorCode(error) !== 'EPERM') throw error
      this.#sayUnreadable(found.path, error)
    }
  }

  async #beginAtEnd(file: TailedFile): Promise<void> {
    if ((await file.attach(file.currentPath ?? file.path)) !== 'same') return
    await file.skipToEnd()
    this.dirty.add(file)
  }

  #revive(file: TailedFile): void {
    file.lostAt = undefined
    this.#byKey.set(file.key, file)
    this.ready.add(file)
  }

  /** Undefined when the file cannot be opened now. */
  async #attach(file: TailedFile, path: string): Promise<Attached | undefined> {
    try {
      return await file.attach(path)
    } catch (error) {
      this.unopened(file, error)
      return undefined
    }
  }

  async #detach(file: TailedFile): Promise<void> {
    await file.close()
    if (this.#byKey.get(file.key) === file) this.#byKey.delete(file.key)
    this.ready.delete(file)
  }

  #forgetLost(): void {
    const now = this.#parts.clock.monotonic()
    for (const file of this.#files) {
      if (file.lostAt !== undefined && now - file.lostAt >= FORGET_AFTER_MS) this.#forget(file)
    }
  }

  #forget(file: TailedFile): void {
    this.#files.delete(file)
    this.dirty.delete(file)
    if (this.#byPath.get(file.path) === file) this.#byPath.delete(file.path)
    if (file.saved) this.#forgotten.push(forgetCheckpoint(file.id))
  }

  /** Files named `<name>*` beside it, newest first. */
  async #siblings(path: string, listing: Listing): Promise<FoundFile[]> {
    return (await this.#neighbours(path, listing))
      .filter(sibling => sibling.stat.kind === 'file' && sibling.path.startsWith(path))
      .sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs)
  }

  async #neighbours(path: string, listing: Listing): Promise<readonly FoundFile[]> {
    try {
      return await listing.entries(directoryOf(path))
    } catch {
      // The directory is gone, or may not be listed: then nothing is known of what is beside the file.
      return []
    }
  }

  async #look(path: string): Promise<FoundFile | undefined> {
    try {
      return { path, stat: await this.#parts.files.stat(path) }
    } catch {
      return undefined
    }
  }

  async #realPath(path: string): Promise<string | undefined> {
    try {
      return await this.#parts.files.realpath(path)
    } catch {
      return undefined
    }
  }

  #sayUnreadable(path: string, error: unknown): void {
    this.#unreadable.add(path)
    if (this.#said.has(path)) return
    this.#said.add(path)
    this.#parts.count('files.unreadable')
    const message = `${path}: cannot be read (${errorMessage(error)}), and is tried again; ${ACCESS_REMEDY}`
    this.#parts.log.warn({ path }, message)
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}
