import {
  BufferPool,
  KtsError,
  type PackedPart,
  type SourceBatch,
  type SourceCheckpoint,
  type SourceTask,
  sleep,
  type TaskContext,
} from '../../runtime/api/index.ts'
import { formatCheckpoint, parseCheckpoints, STARTED } from './checkpoints.ts'
import { DirectoryWatches } from './directory-watches.ts'
import { Discovery } from './discovery.ts'
import { FileSet } from './file-set.ts'
import { TAIL_BYTES } from './identity.ts'
import { LineSplitter } from './line-splitter.ts'
import { Listing } from './listing.ts'
import type { FileSourceOptions } from './source-options.ts'
import type { ReadLines, TailedFile } from './tailed-file.ts'

const OPEN_MAX = 256
/** Read buffers that wait for their next use. */
const POOLED_MAX = 8
/** Least that one file gives per turn while others wait: below it, reading costs more than it brings. */
const QUOTA_BYTES_MIN = 64 << 10
/** How often files that grew lately are looked at, where the file system gives no hints. */
const HOT_CHECK_MS = 100
const HOT_FOR_MS = 5000
const IDLE_AFTER_MS = 1000
/** Looking around may take one part in so many of the time. */
const LOOK_SHARE = 60
const LOOK_GAP_MS = 50

/** Follows the files of one configuration. Everything is read within `poll`: no timer and no reader of its own per file. */
export class FileSourceTask implements SourceTask {
  readonly #options: FileSourceOptions
  readonly #context: TaskContext
  readonly #discovery: Discovery
  readonly #set: FileSet
  readonly #watches: DirectoryWatches
  /** Files with a handle, the one read longest ago first. */
  readonly #open = new Set<TailedFile>()
  readonly #pool: BufferPool
  /** Polls whose lines are not durable yet, in order. */
  readonly #uncommitted: SourceBatch[] = []
  #nextLookAt = Number.NEGATIVE_INFINITY
  #earliestLookAt = Number.NEGATIVE_INFINITY
  /** What the last look took. */
  #lookMs = 0
  #sayStarted: boolean
  #sawFiles: boolean
  #wake: (() => void) | undefined
  #hinted = false

  constructor(options: FileSourceOptions, checkpoints: readonly SourceCheckpoint[], context: TaskContext) {
    const { files, clock, random, log, count } = context
    this.#options = options
    this.#context = context
    this.#sawFiles = checkpoints.length > 0
    this.#sayStarted = checkpoints.length === 0 && options['start.position'] === 'end'
    this.#discovery = new Discovery(files, options.paths, options.exclude, log)
    this.#watches = new DirectoryWatches(files, path => this.#hint(path))
    const lineMax = options['max.line.bytes']
    this.#pool = new BufferPool(options['batch.bytes'] + TAIL_BYTES, POOLED_MAX)
    const reading = { files, lineMax, splitter: new LineSplitter(lineMax), pool: this.#pool }
    const rotateWaitMs = options['rotate.wait.ms']
    const fromEnd = this.#sayStarted
    this.#set = new FileSet(
      { discovery: this.#discovery, files, clock, random, log, count, reading, rotateWaitMs, fromEnd },
      parseCheckpoints(checkpoints),
    )
  }

  async poll(signal: AbortSignal): Promise<SourceBatch | 'idle' | 'finished'> {
    const idleAt = this.#context.clock.monotonic() + IDLE_AFTER_MS
    while (!signal.aborted) {
      if (this.#context.clock.monotonic() >= this.#nextLookAt) await this.#look()
      const batch = await this.#read()
      if (batch !== undefined) {
        this.#uncommitted.push(batch)
        return batch
      }
      if (this.#set.ready.size > 0) continue
      if (this.#options['at.end'] === 'stop' && this.#atEnd()) return 'finished'
      await this.#wait(signal)
      if (this.#context.clock.monotonic() >= idleAt && this.#set.ready.size === 0) return 'idle'
    }
    return 'idle'
  }

  committed(checkpoints: readonly SourceCheckpoint[]): void {
    const last = checkpoints.at(-1)
    const through = this.#uncommitted.findIndex(batch => batch.checkpoints.at(-1) === last)
    for (const { parts } of this.#uncommitted.splice(0, through + 1)) {
      for (const part of parts) if (part.kind === 'packed') this.#pool.give(part.packed.bytes)
    }
  }

  async close(): Promise<void> {
    this.#watches.close()
    await this.#set.close()
  }

  #atEnd(): boolean {
    if (!this.#sawFiles) {
      const paths = this.#options.paths.join(', ')
      throw new KtsError('CONFIG_INVALID', `paths: expected files to read, found none for ${paths}; correct the paths`)
    }
    return !this.#set.unsettled && this.#set.dirty.size === 0 && this.#nextLookAt > this.#context.clock.monotonic()
  }

  async #look(): Promise<void> {
    const { clock } = this.#context
    const start = clock.monotonic()
    const found = await this.#discovery.find()
    await this.#set.settle(found)
    this.#watches.set(this.#set.directories(found))
    const end = clock.monotonic()
    // The shorter of the last two: a start compares every file, and a rotation moves many, but the next look need not wait.
    this.#earliestLookAt = end + Math.max(LOOK_GAP_MS, Math.min(end - start, this.#lookMs) * LOOK_SHARE)
    this.#lookMs = end - start
    this.#nextLookAt = Math.max(this.#earliestLookAt, end + this.#options['poll.interval.ms'])
    if (this.#set.size > 0) this.#sawFiles = true
    this.#context.report({ files: this.#set.size })
  }

  /** Looks around before the interval is over, but not all the time. */
  #lookSoon(): void {
    this.#nextLookAt = Math.min(this.#nextLookAt, this.#earliestLookAt)
  }

  #hint(path: string | undefined): void {
    const file = path === undefined ? undefined : this.#set.at(path)
    if (file === undefined) this.#lookSoon()
    else this.#set.ready.add(file)
    this.#hinted = true
    this.#wake?.()
  }

  /** A batch from the files that wait, or undefined when they had nothing. */
  async #read(): Promise<SourceBatch | undefined> {
    const { ready, dirty } = this.#set
    const parts: PackedPart[] = []
    const moved = new Set<TailedFile>(dirty)
    let room = this.#options['batch.bytes']
    this.#hinted = false
    for (let turns = ready.size; turns > 0 && room > 0; turns--) {
      const [file] = ready
      if (file === undefined) break
      ready.delete(file)
      const quota = Math.min(room, Math.max(QUOTA_BYTES_MIN, Math.floor(room / turns)))
      const lines = await this.#readFile(file, quota)
      if (lines === undefined) continue
      if (lines.packed !== undefined) {
        parts.push({ kind: 'packed', topic: this.#options.topic, orderKey: file.id, packed: lines.packed })
      }
      if (lines.bytes > 0) moved.add(file)
      // At the end of a file that will not be waited for there may be a rest without a newline.
      if (lines.more || (lines.bytes > 0 && this.#options['at.end'] === 'stop')) ready.add(file)
      room -= lines.bytes
    }
    await this.#closeOldest()
    return this.#batch(parts, moved)
  }

  #batch(parts: readonly PackedPart[], moved: ReadonlySet<TailedFile>): SourceBatch | undefined {
    const checkpoints = [...this.#set.takeForgotten()]
    for (const file of moved) {
      file.saved = true
      checkpoints.push(formatCheckpoint(file.id, file.position()))
    }
    this.#set.dirty.clear()
    if (this.#sayStarted) checkpoints.push(STARTED)
    this.#sayStarted = false
    return checkpoints.length === 0 ? undefined : { parts, checkpoints }
  }

  async #readFile(file: TailedFile, bytesMax: number): Promise<ReadLines | undefined> {
    const { clock } = this.#context
    if (!file.isOpen && !(await this.#openFile(file))) return undefined
    // To the end of the order in which handles are closed.
    this.#open.delete(file)
    this.#open.add(file)
    const now = clock.monotonic()
    let read = await file.read(bytesMax, clock.now(), now)
    if (read !== 'replaced' && read.bytes === 0 && !read.more) {
      if (this.#isFinal(file, now)) read = await file.readRest(clock.now())
      // A hint without growth: the name may have gone to another file.
      else this.#lookSoon()
      if (read !== 'replaced' && read.bytes === 0) await this.#finishNameless(file, now)
    }
    if (read === 'replaced') {
      await this.#set.replaced(file, new Listing(this.#context.files))
      this.#lookSoon()
      return undefined
    }
    this.#countTooLong(file, read)
    return read
  }

  async #openFile(file: TailedFile): Promise<boolean> {
    if (file.currentPath === undefined) return false
    try {
      const attached = await file.attach(file.currentPath)
      if (attached === 'same') return true
      if (attached === 'replaced') await this.#set.replaced(file, new Listing(this.#context.files))
    } catch (error) {
      this.#set.unopened(file, error)
    }
    this.#lookSoon()
    return false
  }

  /** No newline will come any more: what is left is the last line. */
  #isFinal(file: TailedFile, now: number): boolean {
    if (this.#options['at.end'] === 'stop') return true
    return file.rotatedAt !== undefined && this.#isQuiet(file, file.rotatedAt, now)
  }

  #isQuiet(file: TailedFile, rotatedAt: number, now: number): boolean {
    return now - Math.max(rotatedAt, file.grownAt) >= this.#options['rotate.wait.ms']
  }

  /** A file without a name is kept open until it has not grown for long enough: its writer may still be there. */
  async #finishNameless(file: TailedFile, now: number): Promise<void> {
    if (file.currentPath !== undefined || file.rotatedAt === undefined) return
    if (!this.#isQuiet(file, file.rotatedAt, now)) return
    this.#open.delete(file)
    await this.#set.finish(file)
  }

  #countTooLong(file: TailedFile, { tooLong }: ReadLines): void {
    if (tooLong === 0) return
    const { log, count } = this.#context
    const facts = {
      path: file.path,
      lines: tooLong,
      before: file.offset,
      'max.line.bytes': this.#options['max.line.bytes'],
    }
    count('lines.too.long', tooLong)
    log.warn(
      facts,
      'lines longer than max.line.bytes were left out; raise it, with max.message.bytes of the topic, to keep such lines',
    )
  }

  /** Keeps the number of handles bounded; a file without a name could not be opened again. */
  async #closeOldest(): Promise<void> {
    for (const file of this.#open) {
      if (this.#open.size <= OPEN_MAX) return
      if (file.isOpen && file.currentPath === undefined) continue
      this.#open.delete(file)
      await file.close()
    }
  }

  /** Until a hint, the next look or an abort. Files that grew lately are looked at in between. */
  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#hinted) return
    const { clock } = this.#context
    const now = clock.monotonic()
    const hot = [...this.#open].filter(file => file.isOpen && now - file.grownAt < HOT_FOR_MS)
    const untilLook = Math.min(IDLE_AFTER_MS, Math.max(1, this.#nextLookAt - now))
    const waitMs = hot.length > 0 ? Math.min(HOT_CHECK_MS, untilLook) : untilLook
    const hint = new AbortController()
    this.#wake = () => hint.abort()
    // Not AbortSignal.any: in Node 20 each one stays with a signal that lives as long as the task.
    signal.addEventListener('abort', this.#wake, { once: true })
    await sleep(clock, waitMs, hint.signal)
    signal.removeEventListener('abort', this.#wake)
    this.#wake = undefined
    if (!this.#hinted) for (const file of hot) this.#set.ready.add(file)
  }
}
