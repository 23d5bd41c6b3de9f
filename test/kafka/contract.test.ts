import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { type BrokerHarness, brokerContract } from '../contract/broker.ts'
import { type KafkaBroker as Server, startKafka } from '../support/kafka.ts'
import { KafkaBroker } from './kafka-broker.ts'

let folder: string
let server: Server
let tests = 0

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kts-kafka-'))
  // Kafka 4 refuses records of a time more than an hour ahead unless told.
  server = await startKafka(folder, {
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

brokerContract('kafka', open, { restarts: true })
