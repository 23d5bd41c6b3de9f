import { createHash } from 'node:crypto'
import { type JsonObject, type JsonValue, stringifyJson } from '../../base/index.ts'
import { type ChangeEvent, type Digest, isObject } from './golden-events.ts'

const SHOWN_CHARACTERS = 200

/** How the events of each topic, in its order, differ: a line each, at most `max`; [] when they do not. */
export function compareEvents(
  expected: readonly ChangeEvent[],
  actual: readonly ChangeEvent[],
  max = 20,
): readonly string[] {
  const lines: string[] = []
  const [wanted, found] = [byTopic(expected), byTopic(actual)]
  for (const topic of new Set([...wanted.keys(), ...found.keys()]))
    compareTopic(topic, wanted.get(topic) ?? [], found.get(topic) ?? [], lines, max)
  return lines.slice(0, max)
}

function compareTopic(
  topic: string,
  expected: readonly ChangeEvent[],
  actual: readonly ChangeEvent[],
  lines: string[],
  max: number,
): void {
  if (expected.length !== actual.length) {
    const shape = (events: readonly ChangeEvent[]) => `${events.length} (${events.map(operation).join('')})`
    lines.push(`${topic}: expected ${shape(expected)} events, got ${shape(actual)}`)
  }
  for (let i = 0; i < Math.min(expected.length, actual.length) && lines.length < max; i++) {
    const [want, got] = [expected[i]!, actual[i]!]
    const place = `${topic} event ${i} (${want.phase ?? '?'}, ${operation(want)})`
    for (const part of ['headers', 'key', 'value', 'keySchema', 'valueSchema'] as const)
      compareJson(`${place} ${part}`, want[part], got[part], lines)
  }
}

/** `c`, `u`, `d`, …; a tombstone is `0`. */
function operation({ value }: ChangeEvent): string {
  return value === null ? '0' : isObject(value) && typeof value.op === 'string' ? value.op : '?'
}

/** Members in their order, too: that is what a consumer of the text sees. */
export function compareJson(path: string, expected: JsonValue, actual: JsonValue, lines: string[]): void {
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    for (const [i, item] of expected.entries()) compareJson(`${path}[${i}]`, item, actual[i]!, lines)
  } else if (isObject(expected) && isObject(actual)) {
    const [names, found] = [Object.keys(expected), Object.keys(actual)]
    if (names.join() !== found.join()) lines.push(`${path}: expected members ${names.join()}, got ${found.join()}`)
    for (const name of names) {
      const member = actual[name]
      if (member !== undefined) compareJson(`${path}.${name}`, expected[name]!, member, lines)
    }
  } else if (!same(expected, actual)) lines.push(`${path}: expected ${shown(expected)}, got ${shown(actual)}`)
}

function same(a: JsonValue, b: JsonValue): boolean {
  if (a === b) return true
  // A whole double in a notation with an exponent is a number, in digits alone a bigint.
  if (typeof a === 'bigint' && typeof b === 'number') return Number(a) === b
  if (typeof a === 'number' && typeof b === 'bigint') return a === Number(b)
  return Array.isArray(a) && Array.isArray(b) && a.length === 0 && b.length === 0
}

function shown(value: JsonValue): string {
  const text = stringifyJson(value)
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)`
}

function byTopic(events: readonly ChangeEvent[]): Map<string, ChangeEvent[]> {
  const topics = new Map<string, ChangeEvent[]>()
  for (const event of events) {
    const topic = topics.get(event.topic)
    if (topic === undefined) topics.set(event.topic, [event])
    else topic.push(event)
  }
  return topics
}

const DIGESTED_WITHOUT = [
  'ts_ms',
  'ts_us',
  'ts_ns',
  'lsn',
  'txId',
  'sequence',
  'xmin',
  'transaction',
  'last',
  'version',
]

/** The digests of all phases and topics, over the canonical rows that the data's README defines. */
export function digestsOf(events: readonly ChangeEvent[]): Digest[] {
  const groups = new Map<string, string[]>()
  for (const event of events) {
    const name = `${event.phase}\t${event.topic}`
    const rows = groups.get(name) ?? []
    groups.set(name, rows)
    rows.push(canonicalRow(event))
  }
  return [...groups].map(([name, rows]) => {
    const [phase, topic] = name.split('\t') as [string, string]
    const sha256 = (texts: readonly string[]) => createHash('sha256').update(texts.join('\n')).digest('hex')
    return {
      phase,
      topic,
      count: rows.length,
      sha256_sorted: sha256([...rows].sort()),
      sha256_in_order: sha256(rows),
    }
  })
}

function canonicalRow({ topic, key, value }: ChangeEvent): string {
  // Integers past 2^53 are rounded in the digests.
  const plain = JSON.parse(stringifyJson({ topic, key, value: strippedForDigest(value) })) as JsonValue
  return JSON.stringify(sorted(plain))
}

function strippedForDigest(value: JsonValue): JsonValue {
  if (!isObject(value)) return value
  const kept = (object: JsonObject, names: readonly string[]) =>
    Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)))
  const out = kept(value, DIGESTED_WITHOUT)
  if (isObject(out.source)) out.source = kept(out.source, [...DIGESTED_WITHOUT, 'snapshot'])
  return out
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(sorted)
  if (!isObject(value)) return value
  const names = Object.keys(value).sort()
  return Object.fromEntries(names.map(name => [name, sorted(value[name]!)]))
}
