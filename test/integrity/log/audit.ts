import { errorCode, errorMessage } from '../../../base/index.ts'
import type { Broker, ReadOptions } from '../../../broker/index.ts'
import { AT_LEAST_ONCE, groupOf, writerOf } from './events.ts'
import type { Ledger, Seen } from './ledger.ts'
import { type FoundRecord, foundRecords, textOf } from './records.ts'

/** A topic of the workload and what may happen to its records. */
export interface TopicPlan {
  readonly name: string
  readonly partitions: number
  readonly configs: Readonly<Record<string, string>>
  /** `kept`: only deleteRecords moves its start. `compacted`: only a key's newest record is sure to stay. */
  readonly records: 'kept' | 'retained' | 'compacted'
}

/**
 * Reads everything back through a broker that has just been opened, and compares it with the ledger, which takes note of
 * what it finds. Answers every broken promise in words.
 */
export async function audit(broker: Broker, ledger: Ledger, topics: readonly TopicPlan[]): Promise<string[]> {
  const problems = ledger.broken.splice(0)
  const found = new Map<string, Map<string, string>>()
  for (const writer of ledger.writers.keys()) {
    const checkpoints = await broker.checkpoints(writer)
    const values = new Map(checkpoints.map(c => [JSON.stringify(c.partition), JSON.stringify(c.value)]))
    found.set(writer, values)
    ledger.settle(writer, lastOf(values))
  }
  for (const writer of ledger.writers.keys()) {
    compareMaps(problems, `checkpoints of ${writer}`, ledger.checkpoints(writer), found.get(writer)!)
    const offsets = await broker.committed(groupOf(writer))
    const positions = offsets.map(o => [`${o.topic}-${o.partition}`, `${o.offset} ${o.metadata}`] as const)
    compareMaps(problems, `offsets of ${groupOf(writer)}`, ledger.offsets(writer), new Map(positions))
  }
  for (const topic of topics) {
    if ((await broker.topic(topic.name)) === undefined) {
      if (ledger.places.has(`${topic.name}-0`)) problems.push(`topic ${topic.name} is gone`)
      continue
    }
    for (let partition = 0; partition < topic.partitions; partition++)
      await auditPartition(problems, broker, ledger, topic, partition)
  }
  return problems
}

/** The transaction that a writer's last checkpoint comes from. */
export function lastOf(checkpoints: ReadonlyMap<string, string>): string | undefined {
  const text = checkpoints.get(JSON.stringify({ last: true }))
  return text === undefined ? undefined : (JSON.parse(text) as { transaction: string }).transaction
}

/** Everything that a partition shows, each record checked to be one that somebody wrote there. */
export async function readEverything(
  broker: Broker,
  topic: string,
  partition: number,
  isolation: ReadOptions['isolation'],
): Promise<FoundRecord[]> {
  const out: FoundRecord[] = []
  const holes: { readonly nextOffset: number; readonly error: unknown }[] = []
  let from = (await broker.partition(topic, partition)).logStartOffset
  for (;;) {
    const options = { isolation, bytesMax: 1 << 16, waitMs: 0 } as const
    const { batches } = await broker.read(topic, partition, from, options).catch(error => {
      const { nextOffset = from } = (error as { details?: { nextOffset?: number } }).details ?? {}
      if (errorCode(error) !== 'CORRUPT_MESSAGE' || nextOffset <= from) throw error
      holes.push({ nextOffset, error })
      from = nextOffset
      return { batches: undefined }
    })
    if (batches === undefined) continue
    if (batches.length === 0) break
    for (const { records } of batches) out.push(...foundRecords(topic, partition, records))
    const next = batches.at(-1)!.nextOffset
    if (next <= from) throw new Error(`${topic}-${partition}: a read at ${from} goes on at ${next}`)
    from = next
  }
  // Records without a transaction that were never acknowledged look like others, so what is lost before them is named.
  const plain = out.filter(({ name }) => writerOf(name.transaction) === AT_LEAST_ONCE)
  for (const { nextOffset, error } of holes) if (!plain.some(({ offset }) => offset >= nextOffset)) throw error
  return out
}

export function digestOf(record: FoundRecord): string {
  return `${textOf(record.name)} @${record.timestamp}`
}

async function auditPartition(
  problems: string[],
  broker: Broker,
  ledger: Ledger,
  topic: TopicPlan,
  partition: number,
): Promise<void> {
  const { name } = topic
  const place = `${name}-${partition}`
  const seen = ledger.seen(name, partition)
  try {
    const at = await broker.partition(name, partition)
    if (at.highWatermark < seen.highWatermark)
      problems.push(`${place}: the end went back from ${seen.highWatermark} to ${at.highWatermark}`)
    if (at.lastStableOffset !== at.highWatermark)
      problems.push(`${place}: nothing is open, and yet ${JSON.stringify(at)}`)
    // What retention does is not acknowledged to anybody: a kill may leave it to be done again.
    if (topic.records !== 'retained' && at.logStartOffset < seen.logStartOffset)
      problems.push(`${place}: the start went back from ${seen.logStartOffset} to ${at.logStartOffset}`)
    const deleted = [...seen.uncommitted.keys()].filter(offset => offset < at.logStartOffset)
    if (topic.records !== 'retained' && deleted.some(offset => offset >= seen.deleteAsked))
      problems.push(
        `${place}: starts at ${at.logStartOffset}, though only what is below ${seen.deleteAsked} was deleted`,
      )
    const committed = await readEverything(broker, name, partition, 'read_committed')
    const uncommitted = await readEverything(broker, name, partition, 'read_uncommitted')
    checkRecords(problems, ledger, topic, place, committed, at.logStartOffset)
    checkSeen(problems, place, topic, at.logStartOffset, seen, seen.committed, committed)
    checkSeen(problems, place, topic, at.logStartOffset, seen, seen.uncommitted, uncommitted)
    const stored = new Set(uncommitted.map(record => record.offset))
    for (const { offset } of committed)
      if (!stored.has(offset)) problems.push(`${place}: offset ${offset} is committed, but not there uncommitted`)
    if (topic.records === 'compacted') checkKeys(problems, ledger, topic, committed)
    seen.highWatermark = at.highWatermark
    seen.logStartOffset = at.logStartOffset
  } catch (error) {
    problems.push(`${place}: ${errorMessage(error)}`)
  }
}

/** Only what was committed, each once, in the order of its writer, and nothing missing in between. */
function checkRecords(
  problems: string[],
  ledger: Ledger,
  topic: TopicPlan,
  place: string,
  records: readonly FoundRecord[],
  logStartOffset: number,
): void {
  const byWriter = new Map<string, string[]>()
  let previous = logStartOffset - 1
  for (const { offset, name } of records) {
    if (offset <= previous) problems.push(`${place}: offset ${offset} behind ${previous}`)
    previous = offset
    const told = ledger.transaction(name.transaction)
    if (told === undefined || (told.outcome !== 'committed' && (told.atomic || told.outcome !== 'unknown')))
      problems.push(`${place}: ${textOf(name)} at ${offset} is visible, its transaction is ${told?.outcome}`)
    const writer = writerOf(name.transaction)
    byWriter.set(writer, [...(byWriter.get(writer) ?? []), `${name.transaction} ${name.number}`])
  }
  for (const [writer, transactions] of ledger.writers) {
    const found = byWriter.get(writer) ?? []
    const there = new Set(found)
    const wanted: string[] = []
    for (const { transaction, outcome, counts } of transactions) {
      for (let number = 0; number < (counts.get(place) ?? 0); number++) {
        const text = `${transaction} ${number}`
        if (outcome === 'committed' || (outcome === 'unknown' && there.has(text))) wanted.push(text)
      }
    }
    const expected =
      topic.records === 'compacted'
        ? wanted.filter(text => there.has(text))
        : logStartOffset > 0
          ? wanted.slice(wanted.length - found.length)
          : wanted
    if (expected.length === found.length && expected.every((text, i) => text === found[i])) continue
    const at = expected.findIndex((text, i) => text !== found[i])
    problems.push(
      `${place}: of ${writer} ${expected.length} records are expected, ${found.length} found; the first difference is ${expected[at]} against ${found[at] ?? found.at(-1)}`,
    )
  }
}

/** One value per offset for ever, and nothing that somebody has read is taken back. */
function checkSeen(
  problems: string[],
  place: string,
  topic: TopicPlan,
  logStartOffset: number,
  seen: Seen,
  known: Map<number, string>,
  records: readonly FoundRecord[],
): void {
  const now = new Map(records.map(record => [record.offset, digestOf(record)]))
  for (const [offset, digest] of known) {
    const found = now.get(offset)
    if (found === undefined && (offset < logStartOffset || topic.records === 'compacted')) continue
    if (found !== digest) problems.push(`${place}: offset ${offset} was read as ${digest}, now it is ${found}`)
  }
  for (const [offset, digest] of now) {
    const other = seen.uncommitted.get(offset)
    if (other !== undefined && other !== digest)
      problems.push(`${place}: offset ${offset} was ${other}, and is ${digest}`)
    known.set(offset, digest)
  }
}

function checkKeys(problems: string[], ledger: Ledger, topic: TopicPlan, records: readonly FoundRecord[]): void {
  const found = new Map<string, string>()
  for (const { key, value } of records) {
    if (value === null) found.delete(key!)
    else found.set(key!, value)
  }
  compareMaps(problems, `newest values of ${topic.name}`, ledger.keyed(topic.name), found)
}

function compareMaps(
  problems: string[],
  what: string,
  expected: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): void {
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    if (expected.get(key) !== found.get(key))
      problems.push(`${what}: ${key} is ${found.get(key)?.slice(0, 80)}, expected ${expected.get(key)?.slice(0, 80)}`)
  }
}
