import { type Random, randomInt } from './random.ts'

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512

/** A change to a file's content that no datasync has covered yet. */
interface PendingChange {
  readonly sequence: number
  /** Undefined: the file was cut or extended to `end`. */
  readonly bytes: Buffer | undefined
  readonly position: number
  readonly end: number
}

/**
 * The content of one file of MemoryFiles, twice: as processes see it, and as the disk surely has it, with the changes
 * between the two. After a power cut each sector has the content it had after any one of the changes since the last
 * sync, and the size is what it was after any one of them: a write may have grown the file and left zeros.
 */
export class MemoryContent {
  mtimeMs: number
  #content: Buffer
  #size: number
  #durable: Buffer
  #durableSize: number
  #pending: PendingChange[] = []

  /** `content` is already on the disk, and kept, not copied. */
  constructor(content: Buffer, mtimeMs: number) {
    this.#content = content
    this.#size = content.length
    this.#durable = Buffer.from(content)
    this.#durableSize = content.length
    this.mtimeMs = mtimeMs
  }

  get size(): number {
    return this.#size
  }

  read(buffer: Uint8Array, at: number, length: number, position: number): number {
    if (position >= this.#size) return 0
    return this.#content.copy(buffer, at, position, Math.min(position + length, this.#size))
  }

  /** `bytes` is kept, not copied. */
  write(bytes: Buffer, position: number, sequence: number): void {
    const change = { sequence, bytes, position, end: position + bytes.length }
    this.#pending.push(change)
    this.#content = grown(this.#content, change.end)
    this.#size = apply(change, this.#content, this.#size)
  }

  truncate(size: number, sequence: number): void {
    const change = { sequence, bytes: undefined, position: size, end: size }
    this.#pending.push(change)
    this.#content = grown(this.#content, size)
    this.#size = apply(change, this.#content, this.#size)
  }

  /** Changes up to and with `sequence` are on the disk. */
  datasync(sequence: number): void {
    let count = 0
    for (const change of this.#pending) {
      if (change.sequence > sequence) break
      this.#durable = grown(this.#durable, change.end)
      this.#durableSize = apply(change, this.#durable, this.#durableSize)
      count++
    }
    this.#pending.splice(0, count)
  }

  /**
   * A failed fsync: the kernel takes the pages for clean, so processes go on seeing them and no later sync will write
   * them.
   */
  loseUnsynced(): void {
    this.#pending = []
  }

  /** One of the contents that the disk may hold after a power cut now. */
  afterPowerCut(random: Random): Buffer {
    const pending = this.#pending
    const before = this.#durable.subarray(0, this.#durableSize)
    const cut = pending.length === 0 ? undefined : this.#drawCut(random)
    if (cut === undefined) return Buffer.from(before)
    let extent = this.#durableSize
    for (const change of pending) extent = Math.max(extent, change.end)
    const content = Buffer.alloc(extent)
    before.copy(content)
    const versions = new Map<number, number>()
    let reached = this.#durableSize
    for (const [index, change] of pending.entries()) {
      const end = change.bytes === undefined ? Math.max(reached, change.end) : change.end
      for (let sector = sectorOf(change.position); sector * SECTOR_BYTES < end; sector++) {
        const version = versions.get(sector) ?? cut.version(sector)
        versions.set(sector, version)
        if (index < version) applyToSector(change, content, sector)
      }
      reached = Math.max(end, reached)
    }
    return content.subarray(0, cut.size)
  }

  /** How a power cut falls; undefined when nothing unsynced is kept. */
  #drawCut(random: Random): PowerCut | undefined {
    const pending = this.#pending
    const style = randomInt(random, 4)
    if (style === 0) return undefined
    // The size and the cuts are journaled and keep their order, wherever the sectors stand.
    const applied = style === 1 ? pending.length : randomInt(random, pending.length + 1)
    let size = this.#durableSize
    for (let i = 0; i < applied; i++) size = sizeAfter(pending[i]!, size)
    const torn = tornEnd(pending[applied], random)
    size = Math.max(size, torn)
    if (style !== 3) return { size, version: sector => (sector * SECTOR_BYTES < torn ? applied + 1 : applied) }
    const cuts = [...pending.keys()].filter(index => pending[index]!.bytes === undefined)
    return { size, version: sector => this.#drawVersion(sector, cuts, applied, random) }
  }

  /** Any version of a sector that the cuts allow: only a cut frees it, and what is written later lies elsewhere. */
  #drawVersion(sector: number, cuts: readonly number[], applied: number, random: Random): number {
    const freed = cuts.filter(index => this.#pending[index]!.position <= sector * SECTOR_BYTES)
    const least = (freed.findLast(index => index < applied) ?? -1) + 1
    const most = freed.find(index => index >= applied) ?? this.#pending.length
    return least + randomInt(random, most - least + 1)
  }
}

interface PowerCut {
  readonly size: number
  /** How many of the pending changes the sector has seen. */
  version(sector: number): number
}

function sectorOf(position: number): number {
  return Math.floor(position / SECTOR_BYTES)
}

/** How far a write got that was not finished: a sector boundary inside it, or its end. */
function tornEnd(change: PendingChange | undefined, random: Random): number {
  if (change?.bytes === undefined) return 0
  const first = sectorOf(change.position)
  const sectors = Math.ceil(change.end / SECTOR_BYTES) - first
  return Math.min(change.end, (first + randomInt(random, sectors + 1)) * SECTOR_BYTES)
}

function sizeAfter(change: PendingChange, size: number): number {
  return change.bytes === undefined ? change.end : Math.max(size, change.end)
}

/** Changes `content`, of which `size` bytes count, and gives the new size. Bytes behind it are always zero. */
function apply(change: PendingChange, content: Buffer, size: number): number {
  if (change.bytes !== undefined) change.bytes.copy(content, change.position)
  else if (change.end < size) content.fill(0, change.end, size)
  return sizeAfter(change, size)
}

function applyToSector(change: PendingChange, content: Buffer, sector: number): void {
  const from = Math.max(change.position, sector * SECTOR_BYTES)
  const to = (sector + 1) * SECTOR_BYTES
  if (change.bytes === undefined) content.fill(0, from, Math.min(to, content.length))
  else change.bytes.copy(content, from, from - change.position, Math.min(to, change.end) - change.position)
}

/** At least `size` bytes, doubling so that appends cost what they write. */
function grown(buffer: Buffer, size: number): Buffer {
  if (buffer.length >= size) return buffer
  const larger = Buffer.alloc(Math.max(size, Math.min(buffer.length * 2, buffer.length + (64 << 20))))
  buffer.copy(larger)
  return larger
}
