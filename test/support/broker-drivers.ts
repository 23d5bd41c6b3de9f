import type { KtsError, PackedRecords } from '../../base/index.ts'
import { packRecords } from '../../base/packed-writer.ts'
import type { Broker, Reader, ReaderEvent, Subscription } from '../../broker/index.ts'

export const NEVER = new AbortController().signal

/** Records whose values are the given texts. */
export function lines(...values: string[]): PackedRecords {
  return packRecords(values.map(value => ({ value })))
}

/** Commits one batch by a writer of its own. */
export async function write(broker: Broker, topic: string, partition: number, records: PackedRecords): Promise<void> {
  const writer = await broker.writer('test-writer')
  const transaction = await writer.begin()
  await transaction.append(topic, partition, records)
  await transaction.commit()
  await writer.close()
}

export interface ReadRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
}

export function unpack(records: PackedRecords): ReadRecord[] {
  return Array.from({ length: records.count }, (_, i) => ({
    offset: records.offset(i),
    key: records.key(i)?.toString() ?? null,
    value: records.value(i)?.toString() ?? null,
    timestamp: records.timestamp(i),
  }))
}

/** Everything readable in a partition, from `offset` or its start. */
export async function readAll(
  broker: Broker,
  topic: string,
  partition: number,
  offset?: number,
): Promise<ReadRecord[]> {
  const out: ReadRecord[] = []
  let from = offset ?? (await broker.partition(topic, partition)).logStartOffset
  for (;;) {
    const { batches } = await broker.read(topic, partition, from, {
      isolation: 'read_committed',
      bytesMax: 1 << 20,
      waitMs: 0,
    })
    if (batches.length === 0) return out
    for (const { records } of batches) out.push(...unpack(records))
    from = batches.at(-1)!.nextOffset
  }
}

export function valuesOf(records: readonly ReadRecord[]): (string | null)[] {
  return records.map(r => r.value)
}

export function subscription(fields: Partial<Subscription> & { group: string }): Subscription {
  return {
    topics: ['t'],
    member: 'm',
    isolation: 'read_committed',
    reset: 'earliest',
    partitionBytesMax: 1 << 20,
    bytesMax: 8 << 20,
    ...fields,
  }
}

/** Polls until an event of this kind comes; anything else but idle on the way is an error. */
export async function until<K extends ReaderEvent['kind']>(
  reader: Reader,
  kind: K,
): Promise<Extract<ReaderEvent, { kind: K }>> {
  for (;;) {
    const event = await reader.poll(10_000, NEVER)
    if (event.kind === kind) return event as Extract<ReaderEvent, { kind: K }>
    if (event.kind !== 'idle') throw new Error(`expected ${kind}, got ${JSON.stringify(event)}`)
  }
}

/** Polls and collects values until there are `count`. */
export async function take(reader: Reader, count: number): Promise<(string | null)[]> {
  const out: (string | null)[] = []
  while (out.length < count) {
    const { batches } = await until(reader, 'records')
    for (const { records } of batches) out.push(...valuesOf(unpack(records)))
  }
  return out
}

/** The error a promise rejects with, or an Error saying that it did not. */
export async function rejection(promise: Promise<unknown>): Promise<KtsError> {
  try {
    await promise
  } catch (error) {
    return error as KtsError
  }
  throw new Error('expected a rejection, got none')
}
