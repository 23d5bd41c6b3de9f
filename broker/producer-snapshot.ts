import { crc32c, type Files, writeWhole } from '../base/index.ts'
import { offsetName } from './segment.ts'

const VERSION = 1

/** A `.snapshot` that knows of no producer: version (i16), CRC-32C of what follows (u32), count (i32). */
export const EMPTY_SNAPSHOT: Uint8Array = emptySnapshot()

function emptySnapshot(): Buffer {
  const bytes = Buffer.alloc(10)
  bytes.writeInt16BE(VERSION, 0)
  bytes.writeUInt32BE(crc32c(bytes.subarray(6)), 2)
  return bytes
}

export function snapshotPath(directory: string, offset: number): string {
  return `${directory}/${offsetName(offset)}.snapshot`
}

/** Writes the snapshot of the producers as of `offset`. */
export function writeEmptySnapshot(files: Files, directory: string, offset: number): Promise<void> {
  return writeWhole(files, snapshotPath(directory, offset), EMPTY_SNAPSHOT)
}
