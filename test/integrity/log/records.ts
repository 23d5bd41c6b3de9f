import { decodeHeaders, type PackedRecords, packRecords } from '../../../base/index.ts'

/** Which record of which transaction this is: the whole record follows from it. */
export interface RecordName {
  /** `<writer>.<number>` */
  readonly transaction: string
  readonly topic: string
  readonly partition: number
  /** Counts the records of one transaction in one partition, from 0. */
  readonly number: number
}

export interface FoundRecord {
  readonly offset: number
  readonly name: RecordName
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
}

/** Records `from` up to `to` of a transaction in a partition, as the workload appends them. */
export function makeRecords(transaction: string, topic: string, partition: number, from: number, to: number) {
  return packRecords(
    Array.from({ length: to - from }, (_, i) => {
      const name = { transaction, topic, partition, number: from + i }
      return { key: keyOf(name), value: payloadOf(name), headers: [{ key: 'name', value: Buffer.from(textOf(name)) }] }
    }),
  )
}

/** Each writer has keys of its own, so the order of one key's records is that of the writer's transactions. */
export function keyOf(name: RecordName): string {
  return `${name.transaction.split('.')[0]}/${hash(`key ${textOf(name)}`) % 5}`
}

/** Null for one in eight records of a topic whose name ends in `keyed`: a tombstone. */
export function payloadOf(name: RecordName): string | null {
  const text = textOf(name)
  const drawn = hash(text)
  if (name.topic.endsWith('keyed') && drawn % 8 === 0) return null
  const word = `${text} ${drawn.toString(36)} `
  return word.repeat(1 + (drawn % 7)).slice(0, word.length + (drawn % 300))
}

/**
 * The records of a read, with their offsets. Throws an error that says what is wrong with a record that nobody wrote this
 * way into this partition.
 */
export function foundRecords(topic: string, partition: number, records: PackedRecords): FoundRecord[] {
  return Array.from({ length: records.count }, (_, i) => {
    const offset = records.offset(i)
    const block = records.headerBlock(i)
    const header = block === undefined ? undefined : decodeHeaders(block)[0]?.value
    const text = Buffer.from(header ?? []).toString('latin1')
    const [transaction = '', inTopic = '', inPartition, number] = text.split(' ')
    const name = { transaction, topic: inTopic, partition: Number(inPartition), number: Number(number) }
    const found = {
      offset,
      name,
      key: records.key(i)?.toString('latin1') ?? null,
      value: records.value(i)?.toString('latin1') ?? null,
      timestamp: records.timestamp(i),
    }
    const genuine = inTopic === topic && name.partition === partition
    if (!genuine || found.key !== keyOf(name) || found.value !== payloadOf(name))
      throw new Error(`${topic}-${partition}: altered record at offset ${offset}: ${JSON.stringify(found)}`)
    return found
  })
}

export function textOf({ transaction, topic, partition, number }: RecordName): string {
  return `${transaction} ${topic} ${partition} ${number}`
}

/** FNV-1a. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}
