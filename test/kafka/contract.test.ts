import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BrokerHarness, brokerContract } from '../contract/broker.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import { type KafkaBroker as Server, startKafka } from '../support/kafka.ts'
import { KafkaBroker } from './kafka-broker.ts'

let folder: string
let server: Server
let tests = 0

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kts-kafka-'))
  server = await startKafka(folder, {
    // Kafka 4 refuses records of a time more than an hour ahead unless told.
    'log.message.timestamp.after.max.ms': '9223372036854775807',
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '100',
  })
})

afterAll(async () => {
  await server?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function open(): Promise<BrokerHarness> {
  const prefix = `test${++tests}.`
  let broker = await KafkaBroker.open(server, prefix)
  return {
    broker,
    reopen: async () => {
      await broker.close()
      broker = await KafkaBroker.open(server, prefix)
      return broker
    },
    crash: async () => {
      await broker.drop()
      broker = await KafkaBroker.open(server, prefix)
      return broker
    },
    close: () => broker.close(),
  }
}

// No test of the suite is left out. What it does not ask, and a cluster does not do, stands below.
brokerContract('kafka', open, { restarts: true })

/** Promises of broker/port.ts that a cluster does not keep by itself; docs/ARCHITECTURE.md says how to mend each. */
describe('what a cluster does otherwise', () => {
  let broker: KafkaBroker

  async function withTopic(configs: Record<string, string> = {}): Promise<void> {
    broker = await KafkaBroker.open(server, `otherwise${++tests}.`)
    await broker.ensureTopic({ name: 't', configs })
  }

  test.each(['retention.unconsumed', 'durability', 'key.converter', 'value.converter'])(
    'it refuses the setting %s, which is ours',
    async name => {
      await withTopic()
      const topic = { name: 'own', configs: { [name]: 'x' } }
      expect(await rejection(broker.ensureTopic(topic))).toMatchObject({ code: 'INVALID_CONFIG' })
      await broker.close()
    },
  )

  test('it applies a change that deletes records without a question', async () => {
    await withTopic()
    await write(broker, 't', 0, lines('a'))
    await broker.ensureTopic({ name: 't', configs: { 'retention.ms': '1' } })
    expect((await broker.topic('t'))!.configs).toEqual({ 'retention.ms': '1' })
    await broker.close()
  })

  test('it deletes what a configured sink has not committed', async () => {
    await withTopic()
    await write(broker, 't', 0, lines('a', 'b'))
    await broker.holdFor([{ group: 'sink', topics: ['t'] }])
    expect(await broker.deleteRecords('t', 0, 1)).toBe(1)
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['b'])
    await broker.close()
  })

  test('its look-up by time may name a marker, behind which the records are older', async () => {
    await withTopic()
    await write(broker, 't', 0, lines('a'))
    const later = Date.now() - 60_000
    const { highWatermark } = await broker.partition('t', 0)
    expect(highWatermark).toBe(2)
    await broker.deleteRecords('t', 0, 1)
    expect(await broker.cluster.listOffset(broker.name('t'), 0, BigInt(later))).toBe(1)
    expect(await broker.offsetForTime('t', 0, later)).toBeUndefined()
    await broker.close()
  })

  test('it takes positions for partitions that the member has lost: only the engine that reads refuses them', async () => {
    await withTopic()
    const reader = await broker.subscribe({
      group: 'g',
      member: 'm',
      topics: ['t'],
      isolation: 'read_committed',
      reset: 'earliest',
      partitionBytesMax: 1 << 20,
      bytesMax: 1 << 20,
    })
    while ((await reader.poll(100, new AbortController().signal)).kind !== 'assigned');
    await broker.ensureTopic({ name: 'other', configs: {} })
    const commit = async (by: KafkaBroker) => {
      const transaction = await (await by.writer('positions')).begin()
      transaction.offsets(reader.group, [{ topic: 'other', partition: 0, offset: 7, metadata: '' }])
      await transaction.commit()
    }
    expect(await rejection(commit(broker))).toMatchObject({ code: 'FENCED' })
    const elsewhere = await KafkaBroker.open(server, broker.name(''))
    await commit(elsewhere)
    expect(await elsewhere.committed('g')).toMatchObject([{ topic: 'other', offset: 7 }])
    await elsewhere.close()
    await broker.close()
  })
})
