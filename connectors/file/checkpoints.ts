import { type JsonObject, KtsError, type SourceCheckpoint } from '../../runtime/api/index.ts'
import type { Fingerprint } from './identity.ts'

/** Where reading of one file goes on. `path` is the name it was first followed under, whatever it is called now. */
export interface FilePosition extends Fingerprint {
  readonly path: string
  readonly dev: string
  readonly ino: string
}

export interface FileCheckpoint {
  readonly id: string
  readonly position: FilePosition
}

const VERSION = 1

/** Says that the connector has been started before, when there was no file to say it. */
export const STARTED: SourceCheckpoint = { partition: { started: true }, position: { v: VERSION } }

export function formatCheckpoint(id: string, position: FilePosition): SourceCheckpoint {
  const { path, dev, ino, headLen, headHash, tailHash, offset } = position
  return { partition: { file: id }, position: { v: VERSION, path, dev, ino, headLen, headHash, tailHash, offset } }
}

export function forgetCheckpoint(id: string): SourceCheckpoint {
  return { partition: { file: id }, position: null }
}

/** Throws POSITION_LOST for what this version does not understand: reading on from a guess could lose lines. */
export function parseCheckpoints(checkpoints: readonly SourceCheckpoint[]): readonly FileCheckpoint[] {
  const files: FileCheckpoint[] = []
  for (const { partition, position } of checkpoints) {
    if (position === null || partition.started === true) continue
    files.push({ id: text(partition, 'file', partition), position: parsePosition(position) })
  }
  return files
}

function parsePosition(position: JsonObject): FilePosition {
  if (position.v !== VERSION) {
    const found = JSON.stringify(position.v)
    throw new KtsError(
      'POSITION_LOST',
      `checkpoint of a file: expected version ${VERSION}, found ${found}; run the version of kts-connect that wrote it, or reset the connector's offsets`,
    )
  }
  return {
    path: text(position, 'path', position),
    dev: text(position, 'dev', position),
    ino: text(position, 'ino', position),
    headLen: count(position, 'headLen'),
    headHash: text(position, 'headHash', position),
    tailHash: text(position, 'tailHash', position),
    offset: count(position, 'offset'),
  }
}

function text(object: JsonObject, name: string, shown: JsonObject): string {
  const value = object[name]
  if (typeof value === 'string') return value
  throw damaged(name, 'a string', shown)
}

function count(object: JsonObject, name: string): number {
  const value = object[name]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw damaged(name, 'an integer of 0 or more', object)
}

function damaged(name: string, expected: string, shown: JsonObject): KtsError {
  return new KtsError(
    'POSITION_LOST',
    `checkpoint of a file: expected ${expected} in "${name}", found ${JSON.stringify(shown[name] ?? null)}; reset the connector's offsets to read its files from the beginning`,
  )
}
