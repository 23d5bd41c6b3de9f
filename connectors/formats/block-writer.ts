import { BufferPool } from '../../runtime/api/index.ts'

/** Uncompressed bytes of one block: one gzip member or zstd frame each, so an object's bytes depend on its content only. */
export const BLOCK_BYTES = 1 << 20

/** Most bytes that `ensure` may be asked for. */
export const ENSURE_BYTES_MAX = 400 << 10

const CAPACITY_MAX = BLOCK_BYTES + ENSURE_BYTES_MAX
/** Many objects stay small; who outgrows this is moved once, into a block of full size. */
const CAPACITIES = [4 << 10, 64 << 10] as const

/** The pool that a task's writers share. */
export function blockPool(): BufferPool {
  return new BufferPool(CAPACITY_MAX, 4)
}

/**
 * Where formats put their lines: a growing buffer that is cut into blocks of exactly BLOCK_BYTES. Formats write into
 * `bytes` at `length` after `ensure`, and move `length` themselves: no call, object or promise per value.
 */
export class BlockWriter {
  /** The block under construction; replaced by `ensure`. */
  bytes: Buffer = Buffer.allocUnsafeSlow(CAPACITIES[0])
  /** The same memory, for whole words. */
  view: DataView = viewOf(this.bytes)
  /** Bytes used of `bytes`. */
  length = 0
  /** Lines written, counted by the format. */
  lines = 0
  readonly #pool: BufferPool
  readonly #full: Buffer[] = []
  #cut = 0

  constructor(pool: BufferPool) {
    this.#pool = pool
  }

  /** Bytes written since the beginning, cut or not. */
  get total(): number {
    return this.#cut + this.length
  }

  /** Memory held, in bytes. */
  get held(): number {
    return this.bytes.length + this.#full.length * CAPACITY_MAX
  }

  get hasWhole(): boolean {
    return this.#full.length > 0 || this.length >= BLOCK_BYTES
  }

  /** Makes room for `count` bytes, at most ENSURE_BYTES_MAX, behind `length`. */
  ensure(count: number): void {
    if (this.length >= BLOCK_BYTES) this.#cutBlock()
    if (this.length + count > this.bytes.length) this.#grow(this.length + count)
  }

  /** Copies a range in. */
  copy(source: Buffer, start: number, end: number): void {
    let from = start
    while (end - from > ENSURE_BYTES_MAX) {
      this.#piece(source, from, from + ENSURE_BYTES_MAX)
      from += ENSURE_BYTES_MAX
    }
    this.#piece(source, from, end)
  }

  /** The oldest whole block, now the caller's until it is given back. */
  shift(): Buffer | undefined {
    if (this.length >= BLOCK_BYTES) this.#cutBlock()
    return this.#full.shift()
  }

  giveBack(block: Buffer): void {
    this.#pool.give(block)
  }

  /** Makes the last block one that `shift` hands out, however short. Nothing is written afterwards. */
  finish(): void {
    if (this.length >= BLOCK_BYTES) this.#cutBlock()
    if (this.length === 0) return
    this.#full.push(this.bytes.subarray(0, this.length))
    this.#cut += this.length
    this.#use(Buffer.alloc(0), 0)
  }

  #piece(source: Buffer, start: number, end: number): void {
    const count = end - start
    this.ensure(count)
    // A view and `set` beat Buffer.copy on Node 20; for a handful of bytes the loop beats both.
    if (count > 24) this.bytes.set(new Uint8Array(source.buffer, source.byteOffset + start, count), this.length)
    else for (let i = 0; i < count; i++) this.bytes[this.length + i] = source[start + i]!
    this.length += count
  }

  #cutBlock(): void {
    const whole = this.bytes
    const rest = this.length - BLOCK_BYTES
    this.#full.push(whole.subarray(0, BLOCK_BYTES))
    this.#cut += BLOCK_BYTES
    const next = this.#pool.take()
    whole.copy(next, 0, BLOCK_BYTES, BLOCK_BYTES + rest)
    this.#use(next, rest)
  }

  #grow(needed: number): void {
    const larger = needed <= CAPACITIES[1] ? Buffer.allocUnsafeSlow(CAPACITIES[1]) : this.#pool.take()
    this.bytes.copy(larger, 0, 0, this.length)
    this.#use(larger, this.length)
  }

  #use(bytes: Buffer, length: number): void {
    this.bytes = bytes
    this.view = viewOf(bytes)
    this.length = length
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
