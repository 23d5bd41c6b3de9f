import type { Schema } from '../../../runtime/api/index.ts'
import { type JsonBytes, Piece } from '../json-bytes.ts'
import {
  type ArrayVisitor,
  dimensionsOfBinary,
  dimensionsOfText,
  walkBinary,
  walkText,
  walkVector,
} from './array-walk.ts'
import { type Form, schemaOf, type TypeSettings } from './form.ts'
import { writeNull } from './json-output.ts'

const COMMA = new Piece(',')
const OPEN = new Piece('[')
const CLOSE = new Piece(']')

/**
 * Arrays, nested as deeply as the column was declared. The server does not hold values to that: one of fewer dimensions
 * is wrapped (`{1}` in int[][] is [[1]]), a deeper one deepens the schema. Lower bounds other than 1 are not told.
 */
export function arrayOf(element: Form, delimiter: string, declared: number, settings: TypeSettings): Form {
  const depth = Math.max(1, declared)
  const separator = delimiter.charCodeAt(0)
  const { valueOfBinary, writeBinary } = element
  const item = { ...element.schema, optional: true }
  let schema = nested(item, depth)
  let schemaDepth = depth
  const deepen = (dimensions: number) => {
    if (dimensions <= schemaDepth) return
    schemaDepth = dimensions
    schema = nested(item, dimensions)
  }
  const ofText = new Values((bytes, start, end) => element.valueOfText(bytes, start, end))
  const ofBinary = valueOfBinary && new Values(valueOfBinary)
  const textJson = new ArrayJson((bytes, start, end, into) => element.writeText(bytes, start, end, into))
  const binaryJson = writeBinary && new ArrayJson(writeBinary)
  return {
    get schema() {
      return schema
    },
    evolves: true,
    valueOfText(bytes, start, end) {
      const dimensions = dimensionsOfText(bytes, start, end)
      deepen(dimensions)
      return ofText.read(v => walkText(bytes, start, end, separator, v), wraps(dimensions, schemaDepth))
    },
    writeText(bytes, start, end, into) {
      const dimensions = dimensionsOfText(bytes, start, end)
      textJson.write(into, v => walkText(bytes, start, end, separator, v), wraps(dimensions, depth))
    },
    valueOfBinary:
      ofBinary &&
      ((bytes, start, end) => {
        const dimensions = dimensionsOfBinary(bytes, start)
        deepen(dimensions)
        return ofBinary.read(v => walkBinary(bytes, start, end, v), wraps(dimensions, schemaDepth))
      }),
    writeBinary:
      binaryJson &&
      ((bytes, start, end, into) =>
        binaryJson.write(into, v => walkBinary(bytes, start, end, v), wraps(dimensionsOfBinary(bytes, start), depth))),
    zero: [],
    get unavailable() {
      return wrapped(unavailable(element, settings), schemaDepth - 1)
    },
  }
}

/** int2vector and oidvector. */
export function vectorOf(element: Form): Form {
  const { valueOfBinary, writeBinary } = element
  const ofText = new Values((bytes, start, end) => element.valueOfText(bytes, start, end))
  const ofBinary = valueOfBinary && new Values(valueOfBinary)
  const textJson = new ArrayJson((bytes, start, end, into) => element.writeText(bytes, start, end, into))
  const binaryJson = writeBinary && new ArrayJson(writeBinary)
  return {
    schema: schemaOf('ARRAY', undefined, { valueSchema: element.schema }),
    valueOfText: (bytes, start, end) => ofText.read(v => walkVector(bytes, start, end, v), 0),
    writeText: (bytes, start, end, into) => textJson.write(into, v => walkVector(bytes, start, end, v), 0),
    valueOfBinary: ofBinary && ((bytes, start, end) => ofBinary.read(v => walkBinary(bytes, start, end, v), 0)),
    writeBinary:
      binaryJson && ((bytes, start, end, into) => binaryJson.write(into, v => walkBinary(bytes, start, end, v), 0)),
    zero: [],
    unavailable: [],
  }
}

/** How many lists go around a value of so many dimensions; none around an empty one. */
function wraps(dimensions: number, depth: number): number {
  return dimensions === 0 ? 0 : Math.max(0, depth - dimensions)
}

function nested(item: Schema, depth: number): Schema {
  let schema = schemaOf('ARRAY', undefined, { valueSchema: item })
  for (let i = 1; i < depth; i++) schema = schemaOf('ARRAY', undefined, { valueSchema: { ...schema, optional: true } })
  return schema
}

function wrapped(value: unknown, times: number): unknown {
  let whole = value
  for (let i = 0; i < times; i++) whole = [whole]
  return whole
}

/** Numbers get the placeholder's bytes, one each; booleans, which can say nothing of the kind, an empty array. */
function unavailable(element: Form, settings: TypeSettings): unknown[] {
  const { type } = element.schema
  if (type === 'BOOLEAN') return []
  if (type === 'STRING') return [settings.placeholder.text]
  if (type.startsWith('INT') || type.startsWith('FLOAT')) return [...settings.placeholder.bytes]
  return [element.unavailable]
}

type Walk = (visitor: ArrayVisitor) => void

/** Puts an array together from its elements. */
class Values implements ArrayVisitor {
  readonly #read: (bytes: Buffer, start: number, end: number) => unknown
  #stack: unknown[][] = []

  constructor(read: (bytes: Buffer, start: number, end: number) => unknown) {
    this.#read = read
  }

  read(walk: Walk, wraps: number): unknown {
    const whole: unknown[] = []
    this.#stack = [whole]
    walk(this)
    return wrapped(whole[0], wraps)
  }

  open(): void {
    const list: unknown[] = []
    this.#stack.at(-1)!.push(list)
    this.#stack.push(list)
  }

  element(bytes: Buffer, start: number, end: number): void {
    this.#stack.at(-1)!.push(this.#read(bytes, start, end))
  }

  null(): void {
    this.#stack.at(-1)!.push(null)
  }

  close(): void {
    this.#stack.pop()
  }
}

/** Writes an array as JSON. */
class ArrayJson implements ArrayVisitor {
  readonly #write: (bytes: Buffer, start: number, end: number, into: JsonBytes) => void
  #into: JsonBytes | undefined
  #isFirst = true

  constructor(write: (bytes: Buffer, start: number, end: number, into: JsonBytes) => void) {
    this.#write = write
  }

  write(into: JsonBytes, walk: Walk, wraps: number): void {
    this.#into = into
    this.#isFirst = true
    for (let i = 0; i < wraps; i++) into.piece(OPEN)
    walk(this)
    for (let i = 0; i < wraps; i++) into.piece(CLOSE)
  }

  open(): void {
    this.#separated().piece(OPEN)
    this.#isFirst = true
  }

  element(bytes: Buffer, start: number, end: number): void {
    this.#write(bytes, start, end, this.#separated())
  }

  null(): void {
    writeNull(this.#separated())
  }

  close(): void {
    this.#into!.piece(CLOSE)
    this.#isFirst = false
  }

  #separated(): JsonBytes {
    const into = this.#into!
    if (!this.#isFirst) into.piece(COMMA)
    this.#isFirst = false
    return into
  }
}
