import { NULL, type Tuple } from '../tuple.ts'

/** A copy of one row, which outlives the bytes it was read from. Used again for the next one. */
export class HeldRow {
  tuple: Tuple = {
    bytes: Buffer.alloc(0),
    count: 0,
    kinds: new Uint8Array(0),
    starts: new Int32Array(0),
    ends: new Int32Array(0),
  }
  #bytes: Buffer = Buffer.alloc(4096)

  keep(row: Tuple): void {
    let size = 0
    for (let i = 0; i < row.count; i++) if (row.kinds[i] !== NULL) size += row.ends[i]! - row.starts[i]!
    if (this.#bytes.length < size || this.#bytes.length > Math.max(1 << 20, 4 * size))
      this.#bytes = Buffer.alloc(Math.max(4096, size))
    const starts = new Int32Array(row.count)
    const ends = new Int32Array(row.count)
    let to = 0
    for (let i = 0; i < row.count; i++) {
      starts[i] = to
      if (row.kinds[i] !== NULL) to += row.bytes.copy(this.#bytes, to, row.starts[i], row.ends[i])
      ends[i] = to
    }
    this.tuple = { bytes: this.#bytes, count: row.count, kinds: row.kinds.slice(), starts, ends }
  }
}
