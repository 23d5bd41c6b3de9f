import type pg from 'pg'
import type { Clock } from '../../../runtime/api/index.ts'
import { CopyStream } from '../copy-stream.ts'
import { CopyRows } from './copy-rows.ts'
import type { SnapshotTable } from './rows.ts'

const WAIT_MS = 1000

/** Rows of one reading, in memory until their place in the stream has come. */
export class Chunk {
  readonly id: string
  readonly table: SnapshotTable
  /** pg_current_snapshot() of the reading. */
  readonly snapshot: string
  /** Keys that were asked for; undefined where a span of the table was. */
  readonly asked: readonly string[] | undefined
  readonly #rows: CopyRows
  #bytes: Buffer = Buffer.allocUnsafe(1 << 16)
  #length = 0
  readonly #ends: number[] = []
  #at = 0

  constructor(
    id: string,
    table: SnapshotTable,
    snapshot: string,
    asked: readonly string[] | undefined,
    binary: boolean,
  ) {
    this.id = id
    this.table = table
    this.snapshot = snapshot
    this.asked = asked
    this.#rows = new CopyRows(table.relation.columns.length, binary)
  }

  /** Bytes of all rows. */
  get size(): number {
    return this.#length
  }

  /** False when there is more than `maxBytes`, and the connection was cut for it. */
  async load(client: pg.Client, sql: string, maxBytes: number, clock: Clock): Promise<boolean> {
    const copy = await CopyStream.begin(client, sql, { clock, both: false })
    for (;;) {
      const lump = await copy.next(WAIT_MS)
      if (lump === undefined) return true
      if (lump.count === 0) continue
      for (let i = 0; i < lump.count; i++) this.#append(lump.bytes, lump.starts[i]!, lump.ends[i]!)
      if (this.#length <= maxBytes) continue
      await copy.close()
      return false
    }
  }

  #append(bytes: Buffer, start: number, end: number): void {
    const size = end - start
    if (this.#length + size > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + size))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    bytes.copy(this.#bytes, this.#length, start, end)
    this.#length += size
    this.#ends.push(this.#length)
  }

  /** The next row; undefined behind the last one. */
  next(): CopyRows['tuple'] | undefined {
    while (this.#at < this.#ends.length) {
      const start = this.#at === 0 ? 0 : this.#ends[this.#at - 1]!
      if (this.#rows.read(this.#bytes, start, this.#ends[this.#at++]!)) return this.#rows.tuple
    }
    return undefined
  }
}
