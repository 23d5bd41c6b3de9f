import { posix } from 'node:path'
import { type Clock, ManualClock } from './clock.ts'
import type { FileHandle, FileStat, Files, OpenMode, Watcher } from './files.ts'
import { MemoryContent } from './memory-content.ts'
import { type MemoryDisk, MemoryFileHandle } from './memory-handle.ts'
import { type MemoryEntry, MemoryJournal } from './memory-journal.ts'
import { MemoryDirectory, MemoryFile, type MemoryNode, partsOf, statOf, systemError } from './memory-nodes.ts'
import { type Random, randomInt } from './random.ts'

/** What `freeBytes` says where no capacity is set: a pebibyte. */
const ROOM_BYTES = 2 ** 50

export interface MemoryFilesOptions {
  /** Bytes of content the disk can hold; may be changed later through `capacityBytes`. */
  readonly capacityBytes?: number
  /** Gives the times of modification; stands still when left out. */
  readonly clock?: Clock
}

/**
 * A file system in memory, with POSIX semantics and power cuts. After a cut, what was covered by a datasync is there, an
 * entry of a directory is there when that directory was synced, and everything else is there, gone, torn or out of
 * order, as the seed has it. It promises no more than POSIX does: syncing a new file does not make its entry durable, nor
 * does syncing a new directory, and of two entries the later alone may survive. A rename is atomic.
 *
 * The same seed and the same calls give the same run. A call takes a few microtasks and no time.
 */
export class MemoryFiles implements Files {
  capacityBytes: number
  readonly #random: Random
  readonly #clock: Clock
  readonly #disk: MemoryDisk
  readonly #journal = new MemoryJournal()
  #root: MemoryDirectory
  #usedBytes = 0
  #nextInode = 3
  readonly #freeInodes: number[] = []
  readonly #watchers = new Set<{ readonly path: string; readonly changed: (name: string | undefined) => void }>()
  #cut = false

  constructor(random: Random, options: MemoryFilesOptions = {}) {
    this.#random = random
    this.#clock = options.clock ?? new ManualClock()
    this.capacityBytes = options.capacityBytes ?? ROOM_BYTES
    this.#root = new MemoryDirectory(2, this.#clock.now())
    this.#disk = {
      turn: () => this.#turn(),
      checkPower: () => this.#checkPower(),
      sequence: { last: 0 },
      roomBytes: () => this.#roomBytes(),
      modified: (path, file, growth) => {
        this.#usedBytes += growth
        file.content.mtimeMs = this.#clock.now()
        this.#tell(path)
      },
      release: file => this.#release(file),
    }
  }

  /** The disk after a power cut at this moment, mounted again. This one and all its handles fail with EIO from now on. */
  powerCut(): MemoryFiles {
    this.#cut = true
    this.#watchers.clear()
    this.#journal.keepSome(this.#random)
    const after = new MemoryFiles(this.#random, { clock: this.#clock, capacityBytes: this.capacityBytes })
    after.#nextInode = this.#nextInode
    after.#root = after.#copyDirectory(this.#root)
    return after
  }

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    await this.#turn()
    const { directory, name, node } = this.#locate(path, 'open')
    if (node !== undefined && mode === 'exclusive') throw systemError('EEXIST', 'open', path)
    if (node?.kind === 'directory') throw systemError('EISDIR', 'open', path)
    if (node === undefined && mode === 'read') throw systemError('ENOENT', 'open', path)
    const file = node ?? new MemoryFile(this.#newInode(), new MemoryContent(Buffer.alloc(0), this.#clock.now()))
    file.opens++
    if (node === undefined) this.#change(path, [{ directory, name, node: file }])
    return new MemoryFileHandle(path, file, mode !== 'read', this.#disk)
  }

  async stat(path: string): Promise<FileStat> {
    await this.#turn()
    return statOf(this.#existing(path, 'stat'))
  }

  async list(path: string): Promise<readonly string[]> {
    await this.#turn()
    const names = [...this.#directory(path, 'scandir').entries.keys()]
    // A disk gives names in an order of its own.
    for (let i = names.length - 1; i > 0; i--) {
      const j = randomInt(this.#random, i + 1)
      ;[names[i], names[j]] = [names[j]!, names[i]!]
    }
    return names
  }

  async mkdir(path: string): Promise<void> {
    await this.#turn()
    let directory = this.#root
    const parts = partsOf(path)
    for (const [depth, name] of parts.entries()) {
      let next = directory.entries.get(name)
      if (next === undefined) {
        next = new MemoryDirectory(this.#newInode(), this.#clock.now())
        this.#change(`/${parts.slice(0, depth + 1).join('/')}`, [{ directory, name, node: next }])
      }
      if (next.kind === 'file') throw systemError(depth === parts.length - 1 ? 'EEXIST' : 'ENOTDIR', 'mkdir', path)
      directory = next
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#turn()
    const source = this.#locate(from, 'rename')
    const target = this.#locate(to, 'rename')
    const { node } = source
    if (node === undefined) throw systemError('ENOENT', 'rename', from)
    if (node === target.node) return
    const below = partsOf(to)
      .join('/')
      .startsWith(`${partsOf(from).join('/')}/`)
    if (below || node === this.#root) throw systemError('EINVAL', 'rename', to)
    if (target.node?.kind === 'directory') {
      if (node.kind === 'file') throw systemError('EISDIR', 'rename', to)
      if (target.node.entries.size > 0) throw systemError('ENOTEMPTY', 'rename', to)
    } else if (target.node !== undefined && node.kind === 'directory') throw systemError('ENOTDIR', 'rename', to)
    // The new name comes first, so that the file never counts as deleted in between.
    this.#change(to, [
      { directory: target.directory, name: target.name, node },
      { directory: source.directory, name: source.name, node: undefined },
    ])
    this.#tell(from)
  }

  async unlink(path: string): Promise<void> {
    await this.#turn()
    const { directory, name, node } = this.#locate(path, 'unlink')
    if (node === undefined) throw systemError('ENOENT', 'unlink', path)
    if (node.kind === 'directory') throw systemError('EISDIR', 'unlink', path)
    this.#change(path, [{ directory, name, node: undefined }])
  }

  async removeTree(path: string): Promise<void> {
    await this.#turn()
    if (this.#find(path) === undefined) return
    const { directory, name, node } = this.#locate(path, 'rm')
    if (node?.kind === 'directory') this.#empty(path, node)
    if (node !== this.#root) this.#change(path, [{ directory, name, node: undefined }])
  }

  async syncDirectory(path: string): Promise<void> {
    const { taken } = this.#journal
    await this.#turn()
    this.#checkPower()
    for (const node of this.#journal.sync(this.#directory(path, 'open'), taken)) this.#release(node)
  }

  async realpath(path: string): Promise<string> {
    await this.#turn()
    const real = posix.resolve(path)
    this.#existing(real, 'realpath')
    return real
  }

  async freeBytes(path: string): Promise<number> {
    await this.#turn()
    this.#existing(path, 'statfs')
    return this.#roomBytes()
  }

  watch(path: string, changed: (name: string | undefined) => void): Watcher {
    const watcher = { path, changed }
    if (!this.#cut && this.#find(path) !== undefined) this.#watchers.add(watcher)
    return { close: () => void this.#watchers.delete(watcher) }
  }

  /** Calls overlap as they do on threads: the order in which they take effect is the seed's. */
  async #turn(): Promise<void> {
    for (let i = randomInt(this.#random, 3); i >= 0; i--) await undefined
    this.#checkPower()
  }

  #checkPower(): void {
    if (this.#cut) throw Object.assign(new Error('EIO: the power was cut'), { code: 'EIO' })
  }

  #roomBytes(): number {
    return Math.max(0, this.capacityBytes - this.#usedBytes)
  }

  #newInode(): number {
    // A disk soon gives the number of a deleted file to another: it is no identity.
    return this.#freeInodes.pop() ?? this.#nextInode++
  }

  #find(path: string): MemoryNode | undefined {
    let node: MemoryNode | undefined = this.#root
    for (const name of partsOf(path)) {
      if (node?.kind !== 'directory') return undefined
      node = node.entries.get(name)
    }
    return node
  }

  /** The directory that holds the last name of a path, and what that name means there. The root has no name. */
  #locate(path: string, call: string): MemoryEntry {
    const parts = partsOf(path)
    const name = parts.pop()
    let directory = this.#root
    for (const part of parts) {
      const next = directory.entries.get(part)
      if (next === undefined) throw systemError('ENOENT', call, path)
      if (next.kind === 'file') throw systemError('ENOTDIR', call, path)
      directory = next
    }
    return { directory, name: name ?? '', node: name === undefined ? this.#root : directory.entries.get(name) }
  }

  #existing(path: string, call: string): MemoryNode {
    const { node } = this.#locate(path, call)
    if (node === undefined) throw systemError('ENOENT', call, path)
    return node
  }

  #directory(path: string, call: string): MemoryDirectory {
    const node = this.#existing(path, call)
    if (node.kind === 'file') throw systemError('ENOTDIR', call, path)
    return node
  }

  /** Changes entries for processes at once; the disk follows when their directories are synced. */
  #change(path: string, entries: readonly MemoryEntry[]): void {
    this.#journal.add(entries)
    for (const { directory, name, node } of entries) {
      const before = directory.entries.get(name)
      if (node === undefined) directory.entries.delete(name)
      else {
        directory.entries.set(name, node)
        node.links++
      }
      if (before !== undefined) {
        before.links--
        this.#release(before)
      }
      directory.mtimeMs = this.#clock.now()
    }
    this.#tell(path)
  }

  #empty(path: string, directory: MemoryDirectory): void {
    for (const [name, node] of [...directory.entries]) {
      if (node.kind === 'directory') this.#empty(`${path}/${name}`, node)
      this.#change(`${path}/${name}`, [{ directory, name, node: undefined }])
    }
  }

  /** Gives room and number back when nothing refers to a file any more. */
  #release(node: MemoryNode): void {
    if (node.kind === 'directory' || node.links > 0 || node.opens > 0) return
    if (!node.roomFreed) this.#usedBytes -= node.content.size
    node.roomFreed = true
    // While a power cut may bring the file back, its number stays its own.
    if (node.numberFreed || node.durableLinks > 0 || this.#journal.refersTo(node)) return
    node.numberFreed = true
    this.#freeInodes.push(node.ino)
  }

  #tell(path: string): void {
    const slash = path.lastIndexOf('/')
    const parent = path.slice(0, slash) || '/'
    for (const watcher of this.#watchers) {
      if (watcher.path !== path && watcher.path !== parent) continue
      queueMicrotask(() => {
        if (this.#watchers.has(watcher)) watcher.changed(path.slice(slash + 1))
      })
    }
  }

  /** Of another file system, as its disk has it after a power cut. */
  #copyDirectory(from: MemoryDirectory): MemoryDirectory {
    const directory = new MemoryDirectory(from.ino, from.mtimeMs)
    for (const [name, node] of from.durable) {
      const copy = node.kind === 'directory' ? this.#copyDirectory(node) : this.#copyFile(node)
      copy.links++
      copy.durableLinks++
      directory.entries.set(name, copy)
      directory.durable.set(name, copy)
    }
    return directory
  }

  #copyFile(from: MemoryFile): MemoryFile {
    const content = from.content.afterPowerCut(this.#random)
    this.#usedBytes += content.length
    return new MemoryFile(from.ino, new MemoryContent(content, from.content.mtimeMs))
  }
}
