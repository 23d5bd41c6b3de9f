import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeHeaders, nodeFiles, type PackedRecords, silentLogger, systemClock } from '../../base/index.ts'
import { FileCache } from '../../broker/file-cache.ts'
import { Partition, type PartitionParts } from '../../broker/partition.ts'
import { type Isolation, readableEnd } from '../../broker/partition-log.ts'
import type { PartitionSettings } from '../../broker/partition-settings.ts'
import { ReadAhead } from '../../broker/read-ahead.ts'
import { sharedData } from './shared-data.ts'

/** Folder of the files that Kafka wrote, or undefined where they are not at hand. */
export const golden: string | undefined = sharedData('kafka/golden')

export const SETTINGS: PartitionSettings = {
  segmentBytes: 1 << 30,
  segmentMs: 7 * 86_400_000,
  indexIntervalBytes: 4096,
  maxMessageBytes: 1_048_588,
  codec: 'none',
  timestampType: 'CreateTime',
  durability: 'sync',
  compacts: false,
}

/** A directory that goes away with the test. */
export function temporaryDirectory(onEnd: (clean: () => void) => void): string {
  const directory = mkdtempSync(join(tmpdir(), 'kts-log-'))
  onEnd(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Opens a partition on the real disk. */
export function openPartition(directory: string, parts: Partial<PartitionParts> = {}): Promise<Partition> {
  const files = parts.files ?? nodeFiles
  return Partition.open({
    directory,
    topic: 'log',
    partition: 0,
    topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
    settings: SETTINGS,
    files,
    clock: systemClock,
    log: silentLogger,
    cache: new FileCache(files, 64),
    readAhead: new ReadAhead(8 << 20),
    recoveryPoint: 0,
    clean: false,
    checkCrcs: true,
    ...parts,
  })
}

/** A copy that may be written to of one of Kafka's partitions, `4-segments/segments-0` say. */
export function copyOfGolden(path: string, to: string): string {
  const directory = join(to, 'copy')
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  for (const name of readdirSync(join(golden!, path))) {
    // The originals are read-only, and a copied file would be too.
    writeFileSync(join(directory, name), readFileSync(join(golden!, path, name)))
  }
  return directory
}

/** The topic id that a partition's directory says it has. */
export function topicIdOf(directory: string): string {
  return /topic_id: (.*)/.exec(readFileSync(join(directory, 'partition.metadata'), 'utf8'))![1]!
}

/** One record as expected.json writes it: offset, timestamp, key, value and headers in base64. */
export type PlainRecord = readonly [
  number,
  number,
  string | null,
  string | null,
  readonly (readonly (string | null)[])[],
]

export interface Expected {
  /** What a read_uncommitted consumer got. */
  readonly records: readonly PlainRecord[]
  /** What a read_committed consumer got. */
  readonly committed: readonly PlainRecord[]
  readonly logStart: number
  readonly end: number
  readonly lastStable: number
}

/** Offsets, first and last of each run. */
type Runs = readonly (readonly [number, number])[]

/** What a consumer of Kafka got from a partition, control records left out. */
export function expectedOf(file: string, partition: number): Expected {
  const json = JSON.parse(readFileSync(join(golden!, `${file}.expected.json`), 'utf8')) as {
    records: [number, number, number, string, string, string, [], number, number, number, boolean, unknown][]
    partitions: { partition: number; logStart: number; end: number; lastStable: number; readCommitted: Runs }[]
  }
  const records = json.records
    .filter(r => r[0] === partition && !r[10])
    .map(r => [r[1], r[2], r[4], r[5], r[6]] as const satisfies PlainRecord)
  const { logStart, end, lastStable, readCommitted } = json.partitions.find(p => p.partition === partition)!
  const committed = records.filter(([offset]) => readCommitted.some(([from, to]) => offset >= from && offset <= to))
  return { records, committed, logStart, end, lastStable }
}

function base64(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null
  if (bytes.length > 4096) return `#${bytes.length}:sha256:${createHash('sha256').update(bytes).digest('hex')}`
  return Buffer.from(bytes).toString('base64')
}

export function plainRecords(batches: readonly PackedRecords[]): PlainRecord[] {
  return batches.flatMap(records =>
    Array.from({ length: records.count }, (_, i): PlainRecord => {
      const block = records.headerBlock(i)
      const headers = block === undefined ? [] : decodeHeaders(block)
      return [
        records.offset(i),
        records.timestamp(i),
        base64(records.key(i)),
        base64(records.value(i)),
        headers.map(h => [Buffer.from(h.key).toString('base64'), base64(h.value)]),
      ]
    }),
  )
}

/** Everything from `offset` on, read in steps of `bytesMax`. */
export async function readAll(
  partition: Partition,
  offset = partition.logStartOffset,
  bytesMax = 4096,
  isolation: Isolation = 'read_uncommitted',
) {
  const batches: PackedRecords[] = []
  while (offset < readableEnd(partition, isolation)) {
    const read = await partition.read(offset, bytesMax, isolation)
    batches.push(...read.batches)
    if (read.nextOffset <= offset) throw new Error(`the read at ${offset} did not move on`)
    offset = read.nextOffset
  }
  return batches
}
