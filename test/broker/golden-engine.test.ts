import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { nodeFiles, packRecords } from '../../base/index.ts'
import type { Broker, EmbeddedBroker } from '../../broker/index.ts'
import { readMetaProperties } from '../../broker/meta-properties.ts'
import { readOffsetCheckpoint } from '../../broker/offset-checkpoint.ts'
import type { Isolation } from '../../broker/partition-log.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import {
  copyOfGolden,
  type Expected,
  expectedOf,
  golden,
  openPartition,
  type PlainRecord,
  plainRecords,
  readAll,
  temporaryDirectory,
  topicIdOf,
} from '../support/golden.ts'

const VERSIONS = ['kafka-4.1.2', 'kafka-3.9.2']
const COMPACTED_MS = 40_000
const OPTIONS = { 'log.cleaner.backoff.ms': 10, 'log.open.files.max': 128 }

/** A partition of the golden files, and the topic of our broker that has its files. */
interface Place {
  /** `<version>/<folder>/<topic>-<partition>` below the golden files. */
  readonly path: string
  readonly topic: string
  readonly partition: number
  readonly compacted: boolean
  readonly expected: Expected
}

function places(): Place[] {
  return VERSIONS.flatMap(version => foldersOf(version).flatMap(folder => placesIn(`${version}/${folder}`)))
}

function foldersOf(version: string): string[] {
  const phases = ['before', 'after1', 'after2', 'intact', 'recovered']
  return readdirSync(join(golden!, version)).flatMap(folder => [
    folder,
    ...phases.map(phase => `${folder}/${phase}`).filter(path => existsSync(join(golden!, version, path))),
  ])
}

function placesIn(folder: string): Place[] {
  return readdirSync(join(golden!, folder)).flatMap(name => {
    const [, topic, partition] = /^(.+)-(\d+)$/.exec(name) ?? []
    if (topic === undefined || !existsSync(join(golden!, folder, `${topic}.expected.json`))) return []
    return [
      {
        path: `${folder}/${name}`,
        topic: `${folder}.${topic}`.replaceAll('/', '.'),
        partition: Number(partition),
        // The others have records without keys, which a compacted topic does not take.
        compacted: /2-txn|3-compacted|5-internal\/__/.test(`${folder}/${name}`),
        expected: expectedOf(`${folder}/${topic}`, Number(partition)),
      },
    ]
  })
}

/** Puts Kafka's files in the place of the empty partitions of our topics, as after a kill. */
async function adopt(directory: string, all: readonly Place[]): Promise<void> {
  const broker = await openAsNewProcess({ files: nodeFiles, directory, options: OPTIONS })
  for (const { topic, compacted } of all) {
    const partitions = all.filter(place => place.topic === topic).length
    // What we append begins a segment, so that all of Kafka's are for the cleaner.
    const compact = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', 'segment.ms': '1000' }
    await broker.ensureTopic({ name: topic, partitions, configs: compacted ? compact : { 'retention.ms': '-1' } })
  }
  await broker.close()
  for (const { path, topic, partition } of all) {
    const folder = join(directory, `${topic}-${partition}`)
    for (const name of readdirSync(folder)) if (name !== 'partition.metadata') rmSync(join(folder, name))
    for (const name of readdirSync(join(golden!, path)))
      if (name !== 'partition.metadata') writeFileSync(join(folder, name), readFileSync(join(golden!, path, name)))
  }
  kill(directory)
}

/** As after a kill: nothing says that the log was closed. */
function kill(directory: string): void {
  rmSync(join(directory, '.kafka_cleanshutdown'))
}

async function read(broker: Broker, { topic, partition }: Place, isolation: Isolation): Promise<PlainRecord[]> {
  const records: PlainRecord[] = []
  let offset = (await broker.partition(topic, partition)).logStartOffset
  for (;;) {
    const { batches } = await broker.read(topic, partition, offset, { isolation, bytesMax: 1 << 20, waitMs: 0 })
    if (batches.length === 0) return records
    records.push(...plainRecords(batches.map(batch => batch.records)))
    offset = batches.at(-1)!.nextOffset
  }
}

/** What is there to read once the one transaction that Kafka left open has been aborted by our start. */
function committedAfterStart({ path, expected }: Place): readonly PlainRecord[] {
  if (!path.includes('txn-open')) return expected.committed
  return expected.records.filter(([offset]) => offset === 0 || offset === 7)
}

describe.skipIf(golden === undefined)("Kafka's partitions in our broker", () => {
  let directory: string
  let all: readonly Place[]
  let broker: EmbeddedBroker
  const clean: (() => void)[] = []

  beforeAll(async () => {
    directory = temporaryDirectory(end => clean.push(end))
    all = places()
    await adopt(directory, all)
    broker = await openAsNewProcess({ files: nodeFiles, directory, options: OPTIONS })
  })

  afterAll(async () => {
    await broker?.close()
    for (const end of clean) end()
  })

  test('are all there, and read record for record in both isolations', async () => {
    expect(all.length).toBeGreaterThanOrEqual(40)
    for (const place of all) {
      expect(await read(broker, place, 'read_uncommitted'), place.path).toEqual(place.expected.records)
      expect(await read(broker, place, 'read_committed'), place.path).toEqual(committedAfterStart(place))
      const { logStartOffset, lastStableOffset, highWatermark } = await broker.partition(place.topic, place.partition)
      expect([logStartOffset, lastStableOffset]).toEqual([place.expected.logStart, highWatermark])
    }
  })

  test('take appends, are compacted, and keep every record that survives as it was, over restarts', async () => {
    const writer = await broker.writer('behind')
    const transaction = await writer.begin()
    const own = packRecords([{ key: 'own', value: 'ours', timestamp: Date.now() }])
    for (const { topic, partition } of all) await transaction.append(topic, partition, own)
    await transaction.commit()
    await writer.close()
    await broker.holdFor([])
    await compacted(directory, all)
    expect(await check(broker, all)).toBeGreaterThan(100)
    for (const killed of [false, true]) {
      await broker.close()
      if (killed) kill(directory)
      broker = await openAsNewProcess({ files: nodeFiles, directory, options: OPTIONS })
      await check(broker, all)
    }
  })
})

/**
 * Every record that Kafka wrote is as it was or, in a compacted topic, gone for a newer one; ours stands behind it. Answers
 * how many are gone.
 */
async function check(broker: Broker, all: readonly Place[]): Promise<number> {
  let gone = 0
  for (const place of all) {
    const before = committedAfterStart(place)
    const now = await read(broker, place, 'read_committed')
    const own = now.pop()!
    expect(own.slice(2), place.path).toEqual([base64('own'), base64('ours'), []])
    expect(own[0]).toBeGreaterThanOrEqual(place.expected.end)
    gone += before.length - now.length
    if (!place.compacted) expect(now, place.path).toEqual(before)
    else {
      const offsets = new Set(now.map(([offset]) => offset))
      expect(now, place.path).toEqual(before.filter(([offset]) => offsets.has(offset)))
      const newest = new Map(before.map(record => [record[2], record]))
      const needed = [...newest.values()].filter(([, , , value]) => value !== null).map(([offset]) => offset)
      expect(
        needed.filter(offset => !offsets.has(offset)),
        place.path,
      ).toEqual([])
    }
  }
  return gone
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

/** Waits until the cleaner has come to the last segment of every compacted partition. */
async function compacted(directory: string, all: readonly Place[]): Promise<void> {
  const deadline = Date.now() + COMPACTED_MS
  for (const { topic, partition, compacted: wanted } of all) {
    if (!wanted) continue
    const logs = () => readdirSync(join(directory, `${topic}-${partition}`)).filter(name => name.endsWith('.log'))
    const active = () => Math.max(...logs().map(name => Number.parseInt(name, 10)))
    while ((await cleanedTo(directory, topic, partition)) < active()) {
      if (Date.now() > deadline) throw new Error(`${topic}-${partition} was not compacted`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

async function cleanedTo(directory: string, topic: string, partition: number): Promise<number> {
  const checkpoint = await readOffsetCheckpoint(nodeFiles, join(directory, 'cleaner-offset-checkpoint'))
  return checkpoint?.get(`${topic}-${partition}`) ?? -1
}

describe.skipIf(golden === undefined)("a broker's own files", () => {
  test.each(VERSIONS)('%s: checkpoints say the ends of partitions; one never written says nothing', async version => {
    const folder = join(golden!, version, '8-broker')
    for (const name of ['recovery-point-offset-checkpoint', 'replication-offset-checkpoint']) {
      const lines = readFileSync(join(folder, name), 'utf8').split('\n').slice(2, -1)
      const expected = lines.map(line => /^(.*) (\d+) (\d+)$/.exec(line)!).map(m => [`${m[1]}-${m[2]}`, Number(m[3])])
      const read = await readOffsetCheckpoint(nodeFiles, join(folder, name))
      expect([...read!].sort()).toEqual(expected.sort())
      expect(lines.length).toBeGreaterThan(10)
    }
    const empty = await readOffsetCheckpoint(nodeFiles, join(folder, 'log-start-offset-checkpoint'))
    expect([...(empty ?? [])]).toEqual([])
    const never = await readOffsetCheckpoint(nodeFiles, join(folder, 'cleaner-offset-checkpoint'))
    expect([...(never ?? [])]).toEqual([])
  })

  test.each(VERSIONS)("%s: meta.properties is told to be another node's, by name, and left alone", async version => {
    const path = join(golden!, version, '8-broker/meta.properties')
    await expect(readMetaProperties(nodeFiles, path)).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
      message: expect.stringContaining('node.id=0'),
    })
    const directory = temporaryDirectory(onTestFinished)
    mkdirSync(join(directory, 'data'))
    cpSync(path, join(directory, 'data/meta.properties'))
    const start = openAsNewProcess({ files: nodeFiles, directory: join(directory, 'data') })
    await expect(start).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(readFileSync(join(directory, 'data/meta.properties'), 'utf8')).toBe(readFileSync(path, 'utf8'))
  })

  test.each(VERSIONS)('%s: the metadata log, with control records of a quorum, reads to its end', async version => {
    const path = `${version}/8-broker/__cluster_metadata-0`
    const directory = copyOfGolden(path, temporaryDirectory(onTestFinished))
    const decoded = readFileSync(join(golden!, `${path}.decoded.txt`), 'utf8')
    const offsets = [...decoded.matchAll(/^\| offset: (\d+) .* payload: /gm)].map(m => Number(m[1]))
    for (const clean of [true, false]) {
      const partition = await openPartition(directory, { topicId: topicIdOf(directory), clean })
      expect(partition.recovered.truncatedBytes).toBe(0)
      expect(partition.recovered.segments.flatMap(s => s.holes)).toEqual([])
      const seen = new Set(plainRecords(await readAll(partition)).map(([offset]) => offset))
      expect(offsets.filter(offset => !seen.has(offset))).toEqual([])
      expect(partition.lastStableOffset).toBe(partition.nextOffset)
      await partition.close()
    }
  })
})
