import { unreadable } from './form.ts'

const SPACE = 0x20
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACE = 0x7b
const BRACE_END = 0x7d
const BRACKET = 0x5b
const EQUALS = 0x3d
const NULL = Buffer.from('NULL')
/** The server's limit (MAXDIM). */
const DIMENSIONS_MAX = 6

/** Is told the parts of an array in order. */
export interface ArrayVisitor {
  open(): void
  element(bytes: Buffer, start: number, end: number): void
  null(): void
  close(): void
}

/** Depth of an array's text; 0 for an empty one. */
export function dimensionsOfText(bytes: Buffer, start: number, end: number): number {
  let at = behindBounds(bytes, start, end)
  if (bytes[at] !== BRACE) throw unreadable('an array', bytes, start, end)
  if (bytes[at + 1] === BRACE_END) return 0
  const first = at
  while (at < end && bytes[at] === BRACE) at++
  return at - first
}

/** `{1,NULL,"a\"b"}`, `{{1,2},{3,4}}`, `[0:1]={1,2}` (of which the bounds are not told). */
export function walkText(bytes: Buffer, start: number, end: number, delimiter: number, visitor: ArrayVisitor): void {
  let at = behindBounds(bytes, start, end)
  let depth = 0
  while (at < end) {
    const byte = bytes[at]!
    if (byte === BRACE) {
      if (++depth > DIMENSIONS_MAX) break
      visitor.open()
      at++
    } else if (byte === BRACE_END) {
      visitor.close()
      at++
      if (--depth === 0) break
    } else if (byte === delimiter) {
      at++
    } else if (byte === QUOTE) {
      at = quoted(bytes, at, end, visitor)
    } else {
      const first = at
      while (at < end && bytes[at] !== delimiter && bytes[at] !== BRACE_END) at++
      if (at - first === 4 && bytes.compare(NULL, 0, 4, first, at) === 0) visitor.null()
      else visitor.element(bytes, first, at)
    }
  }
  if (at !== end || depth !== 0) throw unreadable('an array', bytes, start, end)
}

/** From the quote on; answers the position behind the closing one. */
function quoted(bytes: Buffer, start: number, end: number, visitor: ArrayVisitor): number {
  let escapes = 0
  let at = start + 1
  for (; at < end && bytes[at] !== QUOTE; at++) {
    if (bytes[at] !== BACKSLASH) continue
    escapes++
    at++
  }
  if (at >= end) throw unreadable('an array', bytes, start, end)
  if (escapes === 0) visitor.element(bytes, start + 1, at)
  else {
    const plain = Buffer.allocUnsafe(at - start - 1 - escapes)
    let to = 0
    for (let i = start + 1; i < at; i++) {
      if (bytes[i] === BACKSLASH) i++
      plain[to++] = bytes[i]!
    }
    visitor.element(plain, 0, plain.length)
  }
  return at + 1
}

function behindBounds(bytes: Buffer, start: number, end: number): number {
  if (bytes[start] !== BRACKET) return start
  const equals = bytes.indexOf(EQUALS, start)
  if (equals === -1 || equals >= end) throw unreadable('an array', bytes, start, end)
  return equals + 1
}

/** int2vector and oidvector: numbers behind each other, with spaces. */
export function walkVector(bytes: Buffer, start: number, end: number, visitor: ArrayVisitor): void {
  visitor.open()
  for (let at = start; at < end; ) {
    let behind = at
    while (behind < end && bytes[behind] !== SPACE) behind++
    if (behind > at) visitor.element(bytes, at, behind)
    at = behind + 1
  }
  visitor.close()
}

export function dimensionsOfBinary(bytes: Buffer, start: number): number {
  return bytes.readInt32BE(start)
}

/** Dimensions, whether there are NULLs, type, size and lower bound of each dimension, then length and bytes of each. */
export function walkBinary(bytes: Buffer, start: number, end: number, visitor: ArrayVisitor): void {
  const dimensions = bytes.readInt32BE(start)
  if (dimensions === 0) {
    visitor.open()
    visitor.close()
    return
  }
  if (dimensions < 0 || dimensions > DIMENSIONS_MAX) throw unreadable('an array', bytes, start, end)
  for (let i = 0; i < dimensions; i++) {
    // So that every list takes bytes, and what is made is bounded by what has come.
    if (bytes.readInt32BE(start + 12 + i * 8) < 1) throw unreadable('an array', bytes, start, end)
  }
  let at = start + 12 + dimensions * 8
  const walk = (dimension: number) => {
    visitor.open()
    for (let left = bytes.readInt32BE(start + 12 + dimension * 8); left > 0; left--) {
      if (dimension + 1 < dimensions) {
        walk(dimension + 1)
        continue
      }
      const size = bytes.readInt32BE(at)
      at += 4
      if (size < 0) visitor.null()
      else visitor.element(bytes, at, at + size)
      if (size > 0) at += size
      if (at > end) throw unreadable('an array', bytes, start, end)
    }
    visitor.close()
  }
  walk(0)
}
