import { createHash } from 'node:crypto'
import type { FileHandle } from '../../runtime/api/index.ts'

/** So much of a file's beginning tells it from others. */
export const HEAD_BYTES = 1024
/** So much before the position tells that the file is still the one that was read. */
export const TAIL_BYTES = 256
const HASH_BYTES = 16

/**
 * What a file was like as far as it was read. Inodes are given again and names move, so this is what decides whether a
 * file is the same, and whether another is its copy. The head covers the first `headLen` bytes, at most 1024; the tail the
 * last 256 bytes before `offset`, or all there are.
 */
export interface Fingerprint {
  readonly headLen: number
  readonly headHash: string
  readonly tailHash: string
  readonly offset: number
}

/** The bytes behind a fingerprint, kept while the file is open so that each read can be compared with them. */
export interface Anchor {
  readonly head: Buffer
  readonly headHash: string
  readonly tail: Buffer
}

/** Nothing was read. */
export const EMPTY_ANCHOR: Anchor = anchorOf(Buffer.alloc(0), Buffer.alloc(0))

export function fingerprintOf(anchor: Anchor, offset: number): Fingerprint {
  return { headLen: anchor.head.length, headHash: anchor.headHash, tailHash: hashOf(anchor.tail), offset }
}

/** The bytes before `offset`, or undefined when the file is shorter. */
export async function readAnchor(file: FileHandle, offset: number): Promise<Anchor | undefined> {
  const head = Buffer.allocUnsafeSlow(Math.min(HEAD_BYTES, offset))
  if ((await readFully(file, head, 0)) < head.length) return undefined
  const tail = Buffer.allocUnsafeSlow(Math.min(TAIL_BYTES, offset))
  if ((await readFully(file, tail, offset - tail.length)) < tail.length) return undefined
  return anchorOf(head, tail)
}

/** The anchor at the position of the fingerprint, or undefined when the file has other content before it. */
export async function matchAnchor(file: FileHandle, fingerprint: Fingerprint): Promise<Anchor | undefined> {
  const anchor = await readAnchor(file, fingerprint.offset)
  if (anchor === undefined) return undefined
  const found = fingerprintOf(anchor, fingerprint.offset)
  const same = found.headHash === fingerprint.headHash && found.tailHash === fingerprint.tailHash
  return same && found.headLen === fingerprint.headLen ? anchor : undefined
}

/** Whether the file begins as the fingerprint's does, for a copy that has not reached the position yet. */
export async function beginsAs(file: FileHandle, fingerprint: Fingerprint): Promise<boolean> {
  const head = Buffer.allocUnsafeSlow(fingerprint.headLen)
  return (await readFully(file, head, 0)) === head.length && hashOf(head) === fingerprint.headHash
}

/** The anchor behind `buffer[from, to)`, where `buffer` holds the old tail just before `from`. */
export function advanceAnchor(anchor: Anchor, buffer: Buffer, from: number, to: number): Anchor {
  const tailStart = Math.max(from - anchor.tail.length, to - TAIL_BYTES)
  const tail = Buffer.from(buffer.subarray(tailStart, to))
  const missing = HEAD_BYTES - anchor.head.length
  // While the head is not full it is all there was before `from`.
  if (missing === 0) return { head: anchor.head, headHash: anchor.headHash, tail }
  return anchorOf(Buffer.concat([anchor.head, buffer.subarray(from, Math.min(to, from + missing))]), tail)
}

/** Reads until `buffer` is full or the file ends; answers how much it got. */
export async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<number> {
  let length = 0
  while (length < buffer.length) {
    const read = await file.read(buffer, length, buffer.length - length, position + length)
    if (read === 0) break
    length += read
  }
  return length
}

function anchorOf(head: Buffer, tail: Buffer): Anchor {
  return { head, headHash: hashOf(head), tail }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest().subarray(0, HASH_BYTES).toString('base64url')
}
