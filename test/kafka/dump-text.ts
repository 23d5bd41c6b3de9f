import { basename, dirname } from 'node:path'

/** A record as DumpLogSegments prints it; markers have no key. */
export interface DumpedRecord {
  /** `<topic>-<partition>` */
  readonly place: string
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headerNames: string
}

export interface DumpedBatch {
  readonly producerId: number
  readonly transactional: boolean
  readonly codec: string
  readonly marker: 'COMMIT' | 'ABORT' | undefined
  readonly records: DumpedRecord[]
}

/** What the tool says when something is wrong; it exits with 0 all the same. */
const COMPLAINTS = [
  /^Mismatches in/,
  /isvalid: false/,
  /invalid bytes at the end/,
  /timestamp mismatch/i,
  /out of order timestamp/i,
  /Non-consecutive offsets in/,
  /^Index offset/,
  /Exception/,
  /corrupt/i,
  /Fatal|fatal|ERROR/,
]

/**
 * A time index may name a batch that the cleaner emptied and kept for its producer's sake, whose header has the time. The
 * tool looks for records in it, finds none (-1), and complains; Kafka's cleaner leaves the same.
 */
const EMPTY_BATCH_INDEXED =
  /^Found timestamp mismatch in :.*compacted-0.*\n(?: {2}Index timestamp: \d+, log timestamp: -1\n?)+/gm

export function complaints(all: string): string[] {
  const text = all.replaceAll(EMPTY_BATCH_INDEXED, '')
  return text.split('\n').filter(line => COMPLAINTS.some(pattern => pattern.test(line)))
}

/** Every batch of every `.log` in the text, in its order. */
export function dumpedBatches(text: string): DumpedBatch[] {
  const batches: DumpedBatch[] = []
  let place = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('Dumping ')) place = basename(dirname(line.slice('Dumping '.length)))
    else if (line.startsWith('baseOffset: ')) batches.push(batchOf(line))
    else if (line.startsWith('| offset: ')) take(batches, place, line)
  }
  return batches
}

function batchOf(line: string): DumpedBatch {
  return {
    producerId: Number(field(line, 'producerId')),
    transactional: field(line, 'isTransactional') === 'true',
    codec: field(line, 'compresscodec'),
    marker: undefined,
    records: [],
  }
}

function take(batches: DumpedBatch[], place: string, line: string): void {
  const marker = /endTxnMarker: (COMMIT|ABORT)/.exec(line)?.[1] as DumpedBatch['marker']
  if (marker !== undefined) {
    batches.push({ ...batches.pop()!, marker })
    return
  }
  const match = /headerKeys: \[(.*?)\](?: key: (.*?))?(?: payload: (.*))?$/.exec(line)
  batches.at(-1)!.records.push({
    place,
    offset: Number(field(line, 'offset')),
    timestamp: Number(field(line, 'CreateTime')),
    key: field(line, 'keySize') === '-1' ? null : (match?.[2] ?? ''),
    value: field(line, 'valueSize') === '-1' ? null : (match?.[3] ?? ''),
    headerNames: match?.[1] ?? '',
  })
}

function field(line: string, name: string): string {
  return new RegExp(`(?:^|[ |])${name}: (\\S+)`).exec(line)?.[1] ?? ''
}

/** Records of committed transactions and of none, in the order of their decision. */
export function committedRecords(batches: readonly DumpedBatch[]): DumpedRecord[] {
  const open = new Map<number, DumpedRecord[]>()
  const committed: DumpedRecord[] = []
  for (const { producerId, transactional, marker, records } of batches) {
    if (marker !== undefined) {
      if (marker === 'COMMIT') committed.push(...(open.get(producerId) ?? []))
      open.delete(producerId)
    } else if (transactional) open.set(producerId, [...(open.get(producerId) ?? []), ...records])
    else committed.push(...records)
  }
  return committed
}
