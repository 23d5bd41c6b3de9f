import { type JsonObject, type JsonValue, KtsError, parseJson, stringifyJson } from '../base/index.ts'
import { canonicalJson } from './canonical-json.ts'
import type { StateView } from './keyed-state.ts'
import type { Checkpoint } from './port.ts'
import type { StateRecord } from './state-snapshot.ts'

interface Key {
  readonly bytes: Buffer
  readonly id: string
  readonly connector: string
  readonly partition: JsonObject
}

interface Entry {
  readonly partition: JsonObject
  /** As it is in the log: it is written with every commit and read at the start of a connector. */
  readonly value: Buffer
}

/**
 * Checkpoints of all connectors, as the topic `connect-offsets` says them: key `["connector",{partition}]`, value the
 * position, both as Connect's JsonConverter writes them without schemas. Keys that differ only in the order of members
 * are one.
 */
export class Checkpoints implements StateView {
  readonly #connectors = new Map<string, Map<string, Entry>>()
  /** The one that came last comes again most often. */
  #key: Key | undefined

  identify(key: Buffer): string {
    return this.#parsed(key).id
  }

  apply(key: Buffer, value: Buffer | null): void {
    const { id, connector, partition } = this.#parsed(key)
    const entries = this.#connectors.get(connector) ?? new Map<string, Entry>()
    if (value === null) entries.delete(id)
    else entries.set(id, { partition, value })
    if (entries.size === 0) this.#connectors.delete(connector)
    else this.#connectors.set(connector, entries)
  }

  of(connector: string): readonly Checkpoint[] {
    const entries = [...(this.#connectors.get(connector)?.values() ?? [])]
    return entries.map(({ partition, value }) => ({
      connector,
      partition,
      value: parseJson(value.toString()) as JsonObject,
    }))
  }

  #parsed(key: Buffer): Key {
    if (this.#key === undefined || !this.#key.bytes.equals(key)) {
      const [connector, partition] = parseKey(key)
      this.#key = { bytes: key, id: canonicalJson([connector, partition]), connector, partition }
    }
    return this.#key
  }
}

export function checkpointRecords(entries: readonly Checkpoint[]): StateRecord[] {
  return entries.map(({ connector, partition, value }) => ({
    // The canonical form, so that keys are equal byte for byte, which is what compaction compares.
    key: Buffer.from(canonicalJson([connector, partition])),
    value: value === null ? null : Buffer.from(stringifyJson(value)),
  }))
}

function parseKey(key: Buffer): [string, JsonObject] {
  const parsed = parseJson(key.toString())
  if (Array.isArray(parsed) && parsed.length === 2 && typeof parsed[0] === 'string' && isObject(parsed[1]))
    return [parsed[0], parsed[1]]
  throw new KtsError('CORRUPT_MESSAGE', `connect-offsets: expected a key ["connector",{...}], got ${key.toString()}`)
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
