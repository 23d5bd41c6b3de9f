import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import {
  crc32c,
  errorCode,
  ManualClock,
  type PackedRecords,
  packRecords,
  randomInt,
  SeededRandom,
} from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, LogRecords, ReaderEvent } from '../../broker/index.ts'
import { NEVER, subscription } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { watchHandles } from '../support/watch-handles.ts'

const seed = Number(process.env.KTS_TEST_SEED ?? 20261120)
const ROUNDS = Number(process.env.KTS_STRESS_ROUNDS ?? 3)
const COMMITS = 60
const TOPICS = { plain: 'none', packed: 'zstd', zipped: 'gzip' } as const
const PARTITIONS = 3
const PLAIN_READ = { isolation: 'read_committed', waitMs: 0 } as const

/** Turns of the event loop, so that things happen in another order each time. */
async function turns(random: SeededRandom, most: number): Promise<void> {
  for (let n = randomInt(random, most + 1); n > 0; n--) await new Promise(resolve => setImmediate(resolve))
}

/** What was read, tried against what was written: each record has its place and its checksum in it. */
class Checker {
  readonly #written = new Map<string, Buffer>()
  /** As they were first read. */
  readonly #offsets = new Map<string, number>()
  readonly next = new Map<string, number>()
  records = 0

  make(place: string, count: number, random: SeededRandom): PackedRecords {
    const from = this.next.get(place) ?? 0
    const records = Array.from({ length: count }, (_, i) => {
      const payload = random.bytes(randomInt(random, 3000))
      const value = Buffer.concat([Buffer.from(`${place}@${from + i} ${crc32c(payload)} `), payload])
      const headers = random.next() < 0.3 ? [{ key: 'h', value: payload.subarray(0, 9) }] : []
      this.#written.set(`${place}@${from + i}`, value)
      return { key: `${from + i}`, value, headers, timestamp: from + i }
    })
    this.next.set(place, from + count)
    return packRecords(records)
  }

  check({ topic, partition, records }: LogRecords): void {
    for (let i = 0; i < records.count; i++) {
      // Markers take offsets too, so a record's offset is not its number.
      const place = `${topic}-${partition}@${records.key(i)!.toString()}`
      const value = records.value(i)!
      if (this.#written.get(place)?.equals(value) !== true)
        throw new Error(`${place} is ${value.toString('latin1', 0, 40)}`)
      const offset = this.#offsets.get(place) ?? records.offset(i)
      this.#offsets.set(place, offset)
      if (offset !== records.offset(i) || records.timestamp(i) !== Number(records.key(i)!.toString()))
        throw new Error(`offset or time of ${place}`)
      this.records++
    }
  }
}

async function write(broker: Broker, id: number, checker: Checker, random: SeededRandom): Promise<void> {
  const writer = await broker.writer(`w${id}`)
  // Each writer has a topic of its own, so the order of its commits is that of the offsets.
  const topic = Object.keys(TOPICS)[id]!
  for (let n = 0; n < COMMITS; n++) {
    const transaction = await writer.begin()
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const records = checker.make(`${topic}-${partition}`, 1 + randomInt(random, 30), random)
      await transaction.append(topic, partition, records)
    }
    await transaction.commit()
    await turns(random, 3)
  }
  await writer.close()
}

/** Holds what it reads for a while, looks at it, and gives it back, perhaps twice, perhaps never. */
async function holdAndCheck(
  batches: readonly LogRecords[],
  release: () => void,
  checker: Checker,
  random: SeededRandom,
) {
  await turns(random, 12)
  for (const batch of batches) checker.check(batch)
  if (random.next() < 0.8) release()
  if (random.next() < 0.2) {
    await turns(random, 4)
    release()
  }
}

async function readAlone(broker: Broker, checker: Checker, random: SeededRandom, ended: () => boolean) {
  while (!ended()) {
    const topic = Object.keys(TOPICS)[randomInt(random, 3)]!
    const partition = randomInt(random, PARTITIONS)
    const { logStartOffset } = await broker.partition(topic, partition)
    let from = logStartOffset
    for (let n = 0; n < 6 && !ended(); n++) {
      try {
        const bytesMax = [1, 4096, 16 << 10, 64 << 10][randomInt(random, 4)]!
        const { batches, release } = await broker.read(topic, partition, from, { ...PLAIN_READ, bytesMax })
        if (batches.length === 0) break
        from = batches.at(-1)!.nextOffset
        await holdAndCheck(batches, release, checker, random)
      } catch (error) {
        // Deleted under the reader, or closed.
        if (!['OFFSET_OUT_OF_RANGE', 'CLOSED', 'EIO'].includes(errorCode(error))) throw error
        break
      }
    }
    await turns(random, 2)
  }
}

async function readAsGroup(
  broker: Broker,
  member: string,
  checker: Checker,
  random: SeededRandom,
  ended: () => boolean,
) {
  const join = () =>
    broker.subscribe(
      subscription({
        group: 'g',
        member,
        topics: Object.keys(TOPICS),
        partitionBytesMax: 16 << 10,
        bytesMax: 48 << 10,
      }),
    )
  let reader = await join()
  while (!ended()) {
    try {
      const event: ReaderEvent = await reader.poll(0, NEVER)
      if (event.kind === 'records') {
        // As the sink loop does, with the next read under way meanwhile.
        const next = reader.poll(0, NEVER).catch(() => ({ kind: 'idle' }) as const)
        await holdAndCheck(event.batches, event.release, checker, random)
        const after = await next
        if (after.kind === 'records') await holdAndCheck(after.batches, after.release, checker, random)
      } else await turns(random, 3)
      if (random.next() > 0.02) continue
    } catch (error) {
      if (!['OFFSET_OUT_OF_RANGE', 'CLOSED', 'EIO'].includes(errorCode(error))) throw error
    }
    await reader.close()
    if (ended()) return
    reader = await join().catch(() => reader)
  }
  await reader.close()
}

test('bytes that readers hold are theirs until they give them back, whatever goes on beside', async () => {
  console.log(`seed ${seed} (KTS_TEST_SEED)`)
  const memory = new MemoryFiles(new SeededRandom(seed))
  const handles = watchHandles(memory)
  const random = new SeededRandom(seed)
  const checker = new Checker()
  let quiet = true
  const files = new FaultyFiles(memory, async (call, path) => {
    if (call !== 'read' && call !== 'open' && call !== 'write') return
    await turns(random, 2)
    if (quiet || call !== 'read' || !path.endsWith('.log') || random.next() > 0.003) return
    throw Object.assign(new Error('injected'), { code: 'EIO' })
  })
  const clock = new ManualClock()
  for (let round = 0; round < ROUNDS; round++) {
    const broker = await openAsNewProcess({ files, clock, options: { 'log.open.files.max': 8 } })
    for (const [name, codec] of Object.entries(TOPICS)) {
      const limits = { 'segment.bytes': '200000', 'retention.bytes': '400000', 'max.message.bytes': '8000' }
      const configs = { ...limits, 'compression.type': codec === 'none' ? 'uncompressed' : codec }
      await broker.ensureTopic({ name, partitions: PARTITIONS, configs })
    }
    await broker.holdFor([])
    quiet = false
    let over = false
    const ended = () => over
    const readers = [
      ...['a', 'b'].map(member => readAsGroup(broker, member, checker, random, ended)),
      ...[1, 2, 3, 4, 5, 6].map(() => readAlone(broker, checker, random, ended)),
    ]
    const cleaning = (async () => {
      while (!over) {
        await clock.advance(1000)
        await turns(random, 10)
      }
    })()
    await Promise.all([0, 1, 2].map(id => write(broker, id, checker, random)))
    // The readers are in the middle of things when it closes.
    over = true
    quiet = true
    const closed = broker.close()
    await Promise.all([...readers, cleaning, closed])
    expect(handles.size).toBe(0)
  }
  console.log(`${checker.records} records checked`)
  expect(checker.records).toBeGreaterThan(10_000)
  const starts = await openAsNewProcess({ files: memory, clock })
  // Retention had something to do.
  for (const topic of Object.keys(TOPICS)) expect((await starts.partition(topic, 0)).logStartOffset).toBeGreaterThan(0)
  await starts.close()
}, 60_000)
