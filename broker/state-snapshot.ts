import { createHash } from 'node:crypto'
import { type Files, KtsError, readWhole, writeWhole } from '../base/index.ts'

const SNAPSHOT_BYTES_MAX = 1 << 30

export interface StateRecord {
  readonly key: Buffer
  /** Null removes the entry. */
  readonly value: Buffer | null
}

export interface StateSnapshot {
  readonly topicId: string
  /** Everything before this offset is in it. */
  readonly offset: number
  readonly records: readonly StateRecord[]
}

/**
 * Two lines of text: the SHA-256 of the second, and JSON `{version, topicId, offset, entries: [[key, value], ...]}` with
 * keys and values in base64.
 */
export async function writeSnapshot(files: Files, path: string, snapshot: StateSnapshot): Promise<void> {
  const entries = snapshot.records.map(({ key, value }) => [key.toString('base64'), value?.toString('base64') ?? null])
  const body = Buffer.from(JSON.stringify({ version: 1, topicId: snapshot.topicId, offset: snapshot.offset, entries }))
  await writeWhole(files, path, Buffer.concat([Buffer.from(`${sha256(body)}\n`), body]))
}

/** Undefined when there is none. Rejects with CORRUPT_MESSAGE when it is damaged. */
export async function readSnapshot(files: Files, path: string): Promise<StateSnapshot | undefined> {
  const bytes = await readWhole(files, path, SNAPSHOT_BYTES_MAX)
  if (bytes === undefined) return undefined
  const body = bytes.subarray(65)
  if (bytes.toString('latin1', 0, 65) !== `${sha256(body)}\n`)
    throw new KtsError('CORRUPT_MESSAGE', `${path}: its checksum does not match its content`)
  const parsed = JSON.parse(body.toString()) as {
    version: number
    topicId: string
    offset: number
    entries: [string, string | null][]
  }
  if (parsed.version !== 1)
    throw new KtsError('CORRUPT_MESSAGE', `${path}: expected version 1, got ${parsed.version} (of a newer release?)`)
  const records = parsed.entries.map(([key, value]) => ({
    key: Buffer.from(key, 'base64'),
    value: value === null ? null : Buffer.from(value, 'base64'),
  }))
  return { topicId: parsed.topicId, offset: parsed.offset, records }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
