import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type CodecName, decodeHeaders, nodeFiles, type PackedRecords, packRecords } from '../../base/index.ts'
import type { Broker, EmbeddedBroker, Writer } from '../../broker/index.ts'
import { openAsNewProcess } from '../support/embedded.ts'

export const CODECS: readonly CodecName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** Every topic that `writeLog` makes, with its partitions. */
export const TOPICS: ReadonlyMap<string, number> = new Map([
  ...CODECS.map(codec => [`codec-${codec}`, 1] as const),
  ['rolled', 1],
  ['transactions', 2],
  ['compacted', 1],
  ['plain', 1],
  ['torn', 1],
  ['deleted', 1],
])

const FIRST_TIME = 1_700_000_000_000
const OPTIONS = { 'log.cleaner.backoff.ms': 20, 'log.retention.check.interval.ms': 50 }
const COMPACTED_MS = 30_000

/** What a consumer of Kafka and ours must agree on. Texts only, since Kafka's tools print them. */
export interface SeenRecord {
  readonly place: string
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  /** `name:value,name:value` */
  readonly headers: string
}

/**
 * A data directory with a log of every kind, closed in good order. The embedded broker writes it through the port, as the
 * runtime does; one partition is torn under it and heals.
 */
export async function writeLog(directory: string): Promise<void> {
  const broker = await open(directory)
  await broker.holdFor([])
  for (const codec of CODECS) await writeCodec(broker, codec)
  await writeRolled(broker)
  await writeTransactions(broker)
  await writeCompacted(broker, directory)
  await writePlain(broker)
  await writeDeleted(broker)
  await broker.ensureTopic({ name: 'torn', configs: {} })
  await commitBatches(broker, 'torn', 5)
  await broker.close()
  tear(directory)
  const healed = await open(directory)
  await commitBatches(healed, 'torn', 2)
  await healed.close()
}

export function open(directory: string): Promise<EmbeddedBroker> {
  return openAsNewProcess({ files: nodeFiles, directory, options: OPTIONS })
}

async function writeCodec(broker: Broker, codec: CodecName): Promise<void> {
  const topic = `codec-${codec}`
  await broker.ensureTopic({ name: topic, configs: { 'compression.type': codec } })
  await commitBatches(broker, topic, 4)
}

/** Small segments, with entries in their indexes, and record times that go back. */
async function writeRolled(broker: Broker): Promise<void> {
  const configs = { 'segment.bytes': '8192', 'index.interval.bytes': '512' }
  await broker.ensureTopic({ name: 'rolled', configs })
  await commitBatches(broker, 'rolled', 30, 12)
}

/** Two writers over two partitions, interleaved, committed and aborted, with checkpoints and positions of a group. */
async function writeTransactions(broker: Broker): Promise<void> {
  await broker.ensureTopic({ name: 'transactions', partitions: 2, configs: { 'segment.bytes': '4096' } })
  const writers = [await broker.writer('pipe-a-0'), await broker.writer('pipe-b-0')]
  for (let round = 0; round < 11; round++) {
    const open = await Promise.all(writers.map(writer => writer.begin()))
    for (let step = 0; step < 3; step++) {
      for (const [w, transaction] of open.entries())
        await transaction.append(
          'transactions',
          (round + step) % 2,
          records('transactions', `w${w} r${round} s${step}`, 5),
        )
    }
    for (const [w, transaction] of open.entries()) {
      transaction.checkpoint([{ connector: `c${w}`, partition: { file: 'f' }, value: { at: round } }])
      const tool = { group: `group-${w}`, member: 'tool', generation: -1 }
      transaction.offsets(tool, [{ topic: 'transactions', partition: 0, offset: round, metadata: `m${round}` }])
    }
    await Promise.all(
      open.map((transaction, w) => ((round + w) % 3 === 1 ? transaction.abort() : transaction.commit())),
    )
  }
  await Promise.all(writers.map(writer => writer.close()))
}

/** Keys over and over, deletions, aborted records, and the cleaner over all but the last segment. */
async function writeCompacted(broker: Broker, directory: string): Promise<void> {
  const name = 'compacted'
  const configs = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', 'segment.bytes': '4096' }
  await broker.ensureTopic({ name, configs })
  const writer = await broker.writer('compacting')
  for (let round = 0; round < 40; round++) {
    const transaction = await writer.begin()
    const entries = Array.from({ length: 10 }, (_, i) => ({
      key: `${name}/k${(round * 3 + i) % 25}`,
      value: round % 7 === 3 && i === 0 ? null : `${name} round ${round} of ${i}`,
      timestamp: FIRST_TIME + round * 1000 + i,
    }))
    await transaction.append(name, 0, packRecords(entries))
    await (round % 5 === 4 ? transaction.abort() : transaction.commit())
  }
  await writer.close()
  for (const deadline = Date.now() + COMPACTED_MS; cleanedTo(directory, name) < activeSegment(directory, name); ) {
    if (Date.now() > deadline) throw new Error(`${name} was not compacted to its last segment`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function cleanedTo(directory: string, topic: string): number {
  const path = join(directory, 'cleaner-offset-checkpoint')
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  return Number(new RegExp(`^${topic} 0 (\\d+)$`, 'm').exec(text)?.[1] ?? -1)
}

function activeSegment(directory: string, topic: string): number {
  const logs = readdirSync(join(directory, `${topic}-0`)).filter(name => name.endsWith('.log'))
  return Math.max(...logs.map(name => Number.parseInt(name, 10)))
}

/** Without producer ids. */
async function writePlain(broker: Broker): Promise<void> {
  await broker.ensureTopic({ name: 'plain', configs: {} })
  await commitAll(await broker.writer('plain', { transactional: false }), 'plain', 4, 50)
}

async function writeDeleted(broker: Broker): Promise<void> {
  await broker.ensureTopic({ name: 'deleted', configs: { 'segment.bytes': '4096' } })
  await commitBatches(broker, 'deleted', 10, 20)
  // Inside a batch.
  await broker.deleteRecords('deleted', 0, 107)
}

async function commitBatches(broker: Broker, topic: string, batches: number, size = 50): Promise<void> {
  await commitAll(await broker.writer(`writer of ${topic}`), topic, batches, size)
}

async function commitAll(writer: Writer, topic: string, batches: number, size: number): Promise<void> {
  for (let i = 0; i < batches; i++) {
    const transaction = await writer.begin()
    await transaction.append(topic, 0, records(topic, `batch ${i}`, size))
    await transaction.commit()
  }
  await writer.close()
}

/** Records of many shapes; each names its topic in key, value or a header, since Kafka's consumer does not print it. */
function records(topic: string, what: string, count: number): PackedRecords {
  return packRecords(
    Array.from({ length: count }, (_, i) => ({
      key: i % 5 === 1 ? null : `${topic}/k${i}`,
      value: i % 5 === 2 ? null : i % 5 === 3 ? '' : `${topic} ${what} of ${i} ${'äx'.repeat(i)}`,
      timestamp: FIRST_TIME + i * 100 - (i % 7) * 2_000_000_000,
      headers: i % 4 !== 0 ? [] : Array.from({ length: 1 + (i % 3) }, () => ({ key: 'h', value: Buffer.from(`${i}`) })),
    })),
  )
}

/** As a power cut leaves the last batch: its first part, and no word that the log was closed. */
function tear(directory: string): void {
  const folder = join(directory, 'torn-0')
  const names = readdirSync(folder).sort()
  const logs = names.filter(name => name.endsWith('.log'))
  const part = Buffer.from(readFileSync(join(folder, logs[0]!)).subarray(0, 150))
  // The snapshot of a clean stop is named by the end.
  part.writeBigInt64BE(BigInt(Number.parseInt(names.filter(name => name.endsWith('.snapshot')).at(-1)!, 10)), 0)
  appendFileSync(join(folder, logs.at(-1)!), part)
  rmSync(join(directory, '.kafka_cleanshutdown'))
}

/** Everything readable of every topic of `writeLog`, by our own engine. */
export async function readLog(
  broker: Broker,
  isolation: 'read_committed' | 'read_uncommitted',
): Promise<readonly SeenRecord[]> {
  const seen: SeenRecord[] = []
  for (const [topic, partitions] of TOPICS) {
    for (let partition = 0; partition < partitions; partition++)
      seen.push(...(await readPartition(broker, topic, partition, isolation)))
  }
  return seen
}

async function readPartition(
  broker: Broker,
  topic: string,
  partition: number,
  isolation: 'read_committed' | 'read_uncommitted',
): Promise<SeenRecord[]> {
  const seen: SeenRecord[] = []
  let offset = (await broker.partition(topic, partition)).logStartOffset
  for (;;) {
    const { batches } = await broker.read(topic, partition, offset, { isolation, bytesMax: 1 << 20, waitMs: 0 })
    if (batches.length === 0) return seen
    for (const { records: r } of batches) {
      for (let i = 0; i < r.count; i++) {
        const block = r.headerBlock(i)
        const headers = block === undefined ? [] : decodeHeaders(block)
        seen.push({
          place: `${topic}-${partition}`,
          offset: r.offset(i),
          timestamp: r.timestamp(i),
          key: r.key(i)?.toString() ?? null,
          value: r.value(i)?.toString() ?? null,
          headers: headers.map(h => `${h.key}:${Buffer.from(h.value!).toString()}`).join(','),
        })
      }
    }
    offset = batches.at(-1)!.nextOffset
  }
}
