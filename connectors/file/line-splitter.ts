const NEWLINE = 10
/** Most lines of one split: bounds the positions where a file is nothing but newlines. */
const LINES_MAX = 1 << 17

/** Lines of `buffer`: line i is `buffer[starts[i], ends[i])`, without its newline. */
export interface Lines {
  readonly count: number
  readonly starts: Int32Array
  readonly ends: Int32Array
  /** Behind the last newline that was looked at; `from` when there is none. */
  readonly end: number
  /** Lines left out because they are longer than `lineMax`. */
  readonly tooLong: number
  /** It stopped at the most lines of one split: there may be more before `to`. */
  readonly full: boolean
}

/**
 * Splits `buffer[from, to)` at newlines; what follows the last one is not a line yet. A carriage return stays part of its
 * line, an empty line is a line, and no byte is interpreted.
 */
export class LineSplitter {
  readonly #lineMax: number
  // Reused from call to call; what is returned is a copy of the right length.
  #starts = new Int32Array(4096)
  #ends = new Int32Array(4096)

  constructor(lineMax: number) {
    this.#lineMax = lineMax
  }

  split(buffer: Buffer, from: number, to: number): Lines {
    const lineMax = this.#lineMax
    const bytes = to === buffer.length ? buffer : buffer.subarray(0, to)
    let starts = this.#starts
    let ends = this.#ends
    let count = 0
    let tooLong = 0
    let start = from
    while (count < LINES_MAX) {
      const newline = bytes.indexOf(NEWLINE, start)
      if (newline < 0) break
      if (newline - start > lineMax) tooLong++
      else {
        if (count === starts.length) {
          this.#grow()
          starts = this.#starts
          ends = this.#ends
        }
        starts[count] = start
        ends[count++] = newline
      }
      start = newline + 1
    }
    return {
      count,
      starts: starts.slice(0, count),
      ends: ends.slice(0, count),
      end: start,
      tooLong,
      full: count === LINES_MAX,
    }
  }

  #grow(): void {
    const starts = new Int32Array(this.#starts.length * 2)
    const ends = new Int32Array(this.#ends.length * 2)
    starts.set(this.#starts)
    ends.set(this.#ends)
    this.#starts = starts
    this.#ends = ends
  }
}
