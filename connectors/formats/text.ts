import { errorMessage, type PackedRecords } from '../../runtime/api/index.ts'
import type { BlockWriter } from './block-writer.ts'
import type { Format, Reject } from './format.ts'
import type { Rows } from './rows.ts'
import { valueToJson } from './value-json.ts'

const NEWLINE = 0x0a

/** Raw lines: every value as it is, and a newline. Structured values become their JSON text; null an empty line. */
export class TextFormat implements Format {
  readonly name = 'text'
  readonly extension = '.txt'

  write(rows: Rows, from: number, to: number, out: BlockWriter, totalMax: number, reject: Reject): number {
    return rows.packed === undefined
      ? this.#records(rows, from, to, out, totalMax, reject)
      : this.#packed(rows.packed, from, to, out, totalMax)
  }

  check(rows: Rows, from: number, to: number, reject: Reject): void {
    if (rows.packed !== undefined) return
    for (let i = from; i < to; i++) this.#lineOf(rows, i, reject)
  }

  takeRepaired(): number {
    return 0
  }

  #packed(packed: PackedRecords, from: number, to: number, out: BlockWriter, totalMax: number): number {
    const { bytes, valueStarts, valueEnds } = packed
    let i = from
    while (i < to && out.total < totalMax) {
      const start = valueStarts[i]!
      if (start >= 0) out.copy(bytes, start, valueEnds[i]!)
      out.ensure(1)
      out.bytes[out.length++] = NEWLINE
      i++
    }
    out.lines += i - from
    return i
  }

  #records(rows: Rows, from: number, to: number, out: BlockWriter, totalMax: number, reject: Reject): number {
    let i = from
    for (; i < to && out.total < totalMax; i++) {
      const line = this.#lineOf(rows, i, reject)
      if (line === undefined) continue
      out.copy(line, 0, line.length)
      out.ensure(1)
      out.bytes[out.length++] = NEWLINE
      out.lines++
    }
    return i
  }

  #lineOf(rows: Rows, i: number, reject: Reject): Buffer | undefined {
    const { value, valueSchema } = rows.records![i]!
    try {
      return lineOf(value, valueSchema)
    } catch (error) {
      reject(i, `text: ${errorMessage(error)}`)
      return undefined
    }
  }
}

function lineOf(value: unknown, schema: Parameters<typeof valueToJson>[1]): Buffer {
  if (value === null || value === undefined) return Buffer.alloc(0)
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return Buffer.from(typeof value === 'string' ? value : valueToJson(value, schema), 'utf8')
}
