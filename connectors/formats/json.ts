import { isUtf8 } from 'node:buffer'
import { errorMessage, type PackedRecords } from '../../runtime/api/index.ts'
import type { BlockWriter } from './block-writer.ts'
import type { Format, Reject } from './format.ts'
import { ESCAPED_BYTES_MAX, escapeInto } from './json-escape.ts'
import type { Rows } from './rows.ts'
import { valueToJson } from './value-json.ts'

const NEWLINE = 0x0a
const SPACE = 0x20
const QUOTE = 0x22
/** Most bytes of a value that is escaped in one piece. */
const SHORT_BYTES = 64 << 10
const NULL = Buffer.from('null')

/**
 * JSON lines (https://jsonlines.org): a raw value as a JSON string, a JSON value as it is, a structured one as an object,
 * null as `null`.
 */
export class JsonFormat implements Format {
  readonly name = 'json'
  readonly extension = '.json'
  #repaired = 0

  write(rows: Rows, from: number, to: number, out: BlockWriter, totalMax: number, reject: Reject): number {
    if (rows.packed === undefined) return this.#records(rows, from, to, out, totalMax, reject)
    const next = rows.json
      ? this.#texts(rows.packed, from, to, out, totalMax)
      : this.#strings(rows.packed, from, to, out, totalMax)
    out.lines += next - from
    return next
  }

  check(rows: Rows, from: number, to: number, reject: Reject): void {
    if (rows.packed !== undefined) return
    for (let i = from; i < to; i++) this.#textOf(rows, i, reject)
  }

  takeRepaired(): number {
    const count = this.#repaired
    this.#repaired = 0
    return count
  }

  #strings(packed: PackedRecords, from: number, to: number, out: BlockWriter, totalMax: number): number {
    const { bytes, valueStarts, valueEnds } = packed
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let i = from
    for (; i < to && out.total < totalMax; i++) {
      const start = valueStarts[i]!
      const end = valueEnds[i]!
      if (start < 0) line(out, NULL)
      else if (end - start <= SHORT_BYTES) this.#short(out, bytes, words, start, end)
      else this.#long(out, bytes, start, end)
    }
    return i
  }

  /** Fits in one piece, so a value that turns out to be invalid UTF-8 can be taken back. */
  #short(out: BlockWriter, bytes: Buffer, words: DataView, start: number, end: number): void {
    out.ensure((end - start) * ESCAPED_BYTES_MAX + 3)
    const mark = out.length
    out.bytes[out.length++] = QUOTE
    const wide = escapeInto(out, bytes, words, start, end)
    // Only what has a byte above 0x7f can be invalid, and JSON must be valid UTF-8 (RFC 8259, 8.1).
    if (wide && !isUtf8(bytes.subarray(start, end))) {
      out.length = mark
      this.#long(out, bytes, start, end)
      return
    }
    out.bytes[out.length++] = QUOTE
    out.bytes[out.length++] = NEWLINE
  }

  #long(out: BlockWriter, bytes: Buffer, start: number, end: number): void {
    let source = bytes.subarray(start, end)
    if (!isUtf8(source)) {
      this.#repaired++
      source = Buffer.from(source.toString('utf8'), 'utf8')
    }
    const words = new DataView(source.buffer, source.byteOffset, source.byteLength)
    out.ensure(1)
    out.bytes[out.length++] = QUOTE
    for (let from = 0; from < source.length; from += SHORT_BYTES) {
      const to = Math.min(source.length, from + SHORT_BYTES)
      out.ensure((to - from) * ESCAPED_BYTES_MAX)
      escapeInto(out, source, words, from, to)
    }
    out.ensure(2)
    out.bytes[out.length++] = QUOTE
    out.bytes[out.length++] = NEWLINE
  }

  #texts(packed: PackedRecords, from: number, to: number, out: BlockWriter, totalMax: number): number {
    const { bytes, valueStarts, valueEnds } = packed
    let i = from
    for (; i < to && out.total < totalMax; i++) {
      const start = valueStarts[i]!
      const end = valueEnds[i]!
      if (start < 0) {
        line(out, NULL)
      } else if (end - start <= SHORT_BYTES) {
        out.ensure(end - start + 1)
        const mark = out.length
        out.copy(bytes, start, end)
        out.bytes[out.length++] = NEWLINE
        // Searching what was written ends at our own newline; searching the source would run through the batch.
        if (out.bytes.indexOf(NEWLINE, mark) < out.length - 1) oneLine(out.bytes, mark, out.length - 1)
      } else {
        const copy = Buffer.from(bytes.subarray(start, end))
        oneLine(copy, 0, copy.length)
        line(out, copy)
      }
    }
    return i
  }

  #records(rows: Rows, from: number, to: number, out: BlockWriter, totalMax: number, reject: Reject): number {
    let i = from
    for (; i < to && out.total < totalMax; i++) {
      const json = this.#textOf(rows, i, reject)
      if (json === undefined) continue
      line(out, Buffer.from(json, 'utf8'))
      out.lines++
    }
    return i
  }

  #textOf(rows: Rows, i: number, reject: Reject): string | undefined {
    const { value, valueSchema } = rows.records![i]!
    try {
      return valueToJson(value, valueSchema)
    } catch (error) {
      reject(i, `json: ${errorMessage(error)}`)
      return undefined
    }
  }
}

function line(out: BlockWriter, bytes: Buffer): void {
  out.copy(bytes, 0, bytes.length)
  out.ensure(1)
  out.bytes[out.length++] = NEWLINE
}

/** A newline in a JSON text stands between tokens (in strings it is escaped), where a space means the same. */
function oneLine(bytes: Buffer, start: number, end: number): void {
  for (let i = start; i < end; i++) if (bytes[i] === NEWLINE) bytes[i] = SPACE
}
