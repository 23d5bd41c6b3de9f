import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packRecords } from '../../base/index.ts'
import { dumpLogSegments, type KafkaBroker as Server, runKafka, startKafka } from '../support/kafka.ts'
import { EARLIEST, LATEST } from './cluster.ts'
import { committedRecords, complaints, type DumpedBatch, dumpedBatches } from './dump-text.ts'
import { KafkaBroker } from './kafka-broker.ts'
import { CODECS, open, readLog, type SeenRecord, TOPICS, writeLog } from './written-log.ts'

const ISOLATIONS = ['read_uncommitted', 'read_committed'] as const

let folder: string
let data: string
let seen: Record<(typeof ISOLATIONS)[number], readonly SeenRecord[]>
let ends: ReadonlyMap<string, { readonly start: number; readonly stable: number; readonly end: number }>

/** `<topic>-<partition>` of every topic of the log. */
const PLACES = [...TOPICS].flatMap(([topic, partitions]) =>
  Array.from({ length: partitions }, (_, partition) => ({ topic, partition, place: `${topic}-${partition}` })),
)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kts-judge-'))
  data = join(folder, 'data')
  mkdirSync(data)
  await writeLog(data)
  const broker = await open(data)
  seen = {
    read_uncommitted: await readLog(broker, 'read_uncommitted'),
    read_committed: await readLog(broker, 'read_committed'),
  }
  ends = new Map(
    await Promise.all(
      PLACES.map(async ({ topic, partition, place }) => {
        const { logStartOffset, lastStableOffset, highWatermark } = await broker.partition(topic, partition)
        return [place, { start: logStartOffset, stable: lastStableOffset, end: highWatermark }] as const
      }),
    ),
  )
  await broker.close()
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function filesOf(places: readonly string[], suffix: RegExp): string[] {
  return places.flatMap(place =>
    readdirSync(join(data, place))
      .filter(name => suffix.test(name))
      .map(name => join(data, place, name)),
  )
}

describe("Kafka's DumpLogSegments over a log that we wrote", () => {
  let text: string
  let batches: readonly DumpedBatch[]

  beforeAll(async () => {
    const all = filesOf(
      PLACES.map(({ place }) => place),
      /\.(log|index|timeindex|txnindex|snapshot)$/,
    )
    text = await dumpLogSegments(all, ['--print-data-log'])
    batches = dumpedBatches(text)
  })

  test('has what it is to judge: every codec, rolled segments, aborted transactions, a cleaned log', () => {
    expect(new Set(batches.map(({ codec }) => codec))).toEqual(new Set(CODECS))
    expect(filesOf(['rolled-0'], /\.log$/).length).toBeGreaterThan(3)
    expect(
      text.match(/^version: 0 producerId: \d+ firstOffset: \d+ lastOffset: \d+ lastStableOffset: \d+$/gm)!.length,
    ).toBeGreaterThan(5)
    expect(text.match(/^producerId: \d+ producerEpoch: \d+ coordinatorEpoch/gm)!.length).toBeGreaterThan(5)
    expect(batches.filter(({ marker }) => marker === 'ABORT').length).toBeGreaterThan(5)
    expect(seen.read_uncommitted.length).toBeGreaterThan(seen.read_committed.length)
    expect(ends.get('deleted-0')!.start).toBe(107)
    const compacted = seen.read_committed.filter(({ place }) => place === 'compacted-0')
    expect(compacted.length).toBeLessThan(200)
  })

  test('finds no fault in any batch, index, time index, transaction index or snapshot', () => {
    const allowed = /Non-consecutive offsets in .*compacted-0/
    expect(complaints(text).filter(line => !allowed.test(line))).toEqual([])
  })

  test('reads the records that we read, committed and aborted', () => {
    for (const isolation of ISOLATIONS) {
      const dumped = isolation === 'read_committed' ? committedRecords(batches) : batches.flatMap(b => b.records)
      const theirs = dumped.filter(({ place, offset }) => offset >= ends.get(place)!.start)
      const ours = seen[isolation].map(({ headers, ...rest }) => ({
        ...rest,
        headerNames: headers.replaceAll(/:\d+/g, ''),
      }))
      expect(inOrder(theirs)).toEqual(inOrder(ours))
    }
  })

  test('holds its indexes for sane, and ours alone say the same', async () => {
    const indexes = filesOf(
      PLACES.map(({ place }) => place),
      /\.(index|timeindex)$/,
    )
    expect(
      complaints((await runDump(indexes, '--index-sanity-check')).replaceAll(/ passed sanity check\./g, '')),
    ).toEqual([])
    expect(complaints(await runDump(indexes, '--verify-index-only'))).toEqual([])
  })

  test('decodes the positions of groups that were committed', async () => {
    const decoded = await dumpLogSegments(filesOf(['__consumer_offsets-0'], /\.log$/), ['--offsets-decoder'])
    expect(complaints(decoded)).toEqual([])
    const positions = new Map<string, unknown>()
    for (const { key, value } of committedRecords(dumpedBatches(decoded))) {
      const { type, data: of } = JSON.parse(key!) as { type: string; data: { group: string } }
      if (type === '1') positions.set(of.group, (JSON.parse(value!) as { data: unknown }).data)
    }
    expect(positions.get('group-0')).toMatchObject({ offset: 9, metadata: 'm9' })
    expect(positions.get('group-1')).toMatchObject({ offset: 10, metadata: 'm10' })
  })

  test('decodes the transaction log', async () => {
    const decoded = await dumpLogSegments(filesOf(['__transaction_state-0'], /\.log$/), ['--transaction-log-decoder'])
    expect(complaints(decoded)).toEqual([])
    const states = dumpedBatches(decoded).flatMap(({ records }) => records)
    const ids = new Set(
      states.map(({ key }) => (JSON.parse(key!) as { data: { transactionalId: string } }).data.transactionalId),
    )
    for (const id of ['pipe-a-0', 'pipe-b-0', 'compacting']) expect(ids).toContain(id)
    const prepared = states
      .map(({ value }) => (JSON.parse(value!) as { data: TransactionValue }).data)
      .filter(({ transactionStatus }) => transactionStatus === PREPARE_COMMIT)
    const topics = new Set(
      prepared.flatMap(({ transactionPartitions }) => transactionPartitions.map(({ topic }) => topic)),
    )
    for (const topic of ['transactions', '__consumer_offsets', 'connect-offsets']) expect(topics).toContain(topic)
  })
})

/** Kafka's number of the state. */
const PREPARE_COMMIT = 2

interface TransactionValue {
  readonly transactionStatus: number
  readonly transactionPartitions: readonly { readonly topic: string }[]
}

async function runDump(files: readonly string[], option: string): Promise<string> {
  const { out, err } = await runKafka('kafka.tools.DumpLogSegments', [option, '--files', files.join(',')])
  return out + err
}

function inOrder<T extends { readonly place: string; readonly offset: number }>(records: readonly T[]): readonly T[] {
  return [...records].sort((a, b) => (a.place === b.place ? a.offset - b.offset : a.place < b.place ? -1 : 1))
}

describe('a real broker with our segments in the place of its own', () => {
  let server: Server
  const home = () => join(folder, 'kafka')

  beforeAll(async () => {
    server = await startKafka(home())
    const broker = await KafkaBroker.open(server, '')
    for (const [name, partitions] of TOPICS) await broker.ensureTopic({ name, partitions, configs: {} })
    await burnProducerIds(broker)
    // Asking for a group makes the topic of the positions.
    expect(await broker.committed('group-0')).toEqual([])
    await broker.close()
    await server.stop()
    for (const { place } of PLACES) putInPlace(data, server.logs, place)
    putInPlace(data, server.logs, '__consumer_offsets-0')
    setStarts(server.logs)
    // So that it checks every byte.
    rmSync(join(server.logs, '.kafka_cleanshutdown'))
    server = await startKafka(home(), { 'broker.session.timeout.ms': '2000' })
  })

  afterAll(async () => {
    await server?.stop()
  })

  test('has the same log start, last stable and end offsets', async () => {
    const broker = await KafkaBroker.open(server, '')
    for (const { topic, partition, place } of PLACES) {
      const start = await broker.cluster.listOffset(topic, partition, EARLIEST)
      const stable = await broker.cluster.listOffset(topic, partition, LATEST, 1)
      const end = await broker.cluster.listOffset(topic, partition, LATEST)
      expect({ place, start, stable, end }).toEqual({ place, ...ends.get(place) })
    }
    await broker.close()
  })

  test('knows the positions that groups had committed with us, and none that was aborted', async () => {
    const broker = await KafkaBroker.open(server, '')
    const at = (offset: number) => [{ topic: 'transactions', partition: 0, offset, metadata: `m${offset}` }]
    expect(await broker.groups()).toEqual(['group-0', 'group-1'])
    expect(await broker.committed('group-0')).toEqual(at(9))
    expect(await broker.committed('group-1')).toEqual(at(10))
    await broker.close()
  })

  test.each(ISOLATIONS)("gives Kafka's own consumer the same records, %s", async isolation => {
    expect(inOrder(await consume(server, isolation, seen[isolation].length))).toEqual(inOrder(seen[isolation]))
  })

  test('writes behind them, and we read all of it', async () => {
    const broker = await KafkaBroker.open(server, '')
    const writer = await broker.writer('on top')
    for (const outcome of ['commit', 'abort', 'commit'] as const) {
      const transaction = await writer.begin()
      for (const { topic, partition } of PLACES) await transaction.append(topic, partition, onTop(topic, outcome))
      await transaction[outcome]()
    }
    const plain = await broker.writer('on top, plain', { transactional: false })
    const transaction = await plain.begin()
    for (const { topic, partition } of PLACES) await transaction.append(topic, partition, onTop(topic, 'plain'))
    await transaction.commit()
    await broker.close()
    // Two records each: committed, aborted, committed, without a transaction.
    const counts = {
      read_uncommitted: seen.read_uncommitted.length + 4 * 2 * PLACES.length,
      read_committed: seen.read_committed.length + 3 * 2 * PLACES.length,
    }
    const theirs = {
      read_uncommitted: inOrder(await consume(server, 'read_uncommitted', counts.read_uncommitted)),
      read_committed: inOrder(await consume(server, 'read_committed', counts.read_committed)),
    }
    await server.stop()
    for (const { place } of PLACES) putInPlace(server.logs, data, place)
    rmSync(join(data, '.kafka_cleanshutdown'))
    const ours = await open(data)
    for (const isolation of ISOLATIONS) expect(inOrder(await readLog(ours, isolation))).toEqual(theirs[isolation])
    await ours.close()
  })
})

/** A cluster gives its producer ids anew, and ours are in the segments with higher epochs: it must not give the same. */
async function burnProducerIds(broker: KafkaBroker): Promise<void> {
  const writers = Array.from({ length: 40 }, (_, i) => broker.writer(`burnt ${i}`))
  await Promise.all((await Promise.all(writers)).map(writer => writer.close()))
}

function onTop(topic: string, what: string) {
  return packRecords([
    { key: `${topic}/top`, value: `${topic} on top, ${what}`, timestamp: 1_700_000_500_000 },
    { key: `${topic}/top`, value: null, timestamp: 1_600_000_000_000 },
  ])
}

/** Puts the files of a partition in the place of another engine's own, which keeps only its topic id. */
function putInPlace(from: string, to: string, place: string): void {
  for (const name of readdirSync(join(to, place))) {
    if (name !== 'partition.metadata') rmSync(join(to, place, name))
  }
  cpSync(join(from, place), join(to, place), {
    recursive: true,
    filter: source => !source.endsWith('partition.metadata'),
  })
}

/** Tells Kafka where the partition begins whose records were deleted. */
function setStarts(logs: string): void {
  const path = join(logs, 'log-start-offset-checkpoint')
  const others = readFileSync(path, 'utf8')
    .split('\n')
    .slice(2)
    .filter(line => line !== '' && !line.startsWith('deleted '))
  const lines = [...others, `deleted 0 ${ends.get('deleted-0')!.start}`]
  writeFileSync(path, `0\n${lines.length}\n${lines.join('\n')}\n`)
}

/** The first `count` records of every topic together that Kafka's own console consumer prints: one too many takes the place of another. */
async function consume(server: Server, isolation: string, count: number): Promise<SeenRecord[]> {
  const properties = ['partition', 'offset', 'timestamp', 'headers', 'key', 'value'].flatMap(part => [
    '--property',
    `print.${part}=true`,
  ])
  const { out } = await runKafka('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    '--bootstrap-server',
    server.bootstrap,
    '--include',
    [...TOPICS.keys()].join('|'),
    '--from-beginning',
    '--isolation-level',
    isolation,
    '--max-messages',
    String(count),
    '--timeout-ms',
    '60000',
    ...properties,
    '--property',
    'null.literal=<null>',
  ])
  return out
    .split('\n')
    .filter(line => line.startsWith('CreateTime:'))
    .map(printedRecord)
}

function printedRecord(line: string): SeenRecord {
  const [time, partition, offset, headers, key, value] = line.split('\t') as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const keyOrNull = key === '<null>' ? null : key
  const valueOrNull = value === '<null>' ? null : value
  const topic = (keyOrNull ?? valueOrNull)!.split(/[ /]/, 1)[0]!
  return {
    place: `${topic}-${Number(partition.split(':')[1])}`,
    offset: Number(offset.split(':')[1]),
    timestamp: Number(time.split(':')[1]),
    key: keyOrNull,
    value: valueOrNull,
    headers: headers === 'NO_HEADERS' ? '' : headers,
  }
}
