import { describe, expect, test } from 'vitest'
import { parseJson } from '../../../base/index.ts'
import { EventBatch } from '../../../connectors/postgres/events/index.ts'
import type { ConnectRecord, Schema } from '../../../runtime/api/index.ts'
import { converterNamed } from '../../../runtime/converters/index.ts'
import { loadGoldenRun } from '../../support/golden-events.ts'
import { sharedData } from '../../support/shared-data.ts'
import { encoded, keyOnly, newEvents, relation, streamed, tableInfo, tuple } from './events-harness.ts'

const golden = sharedData('debezium-golden')
const withSchemas = converterNamed('json', { 'schemas.enable': true })

const schemaOf = (value: unknown, schema: Schema | undefined) => {
  const json = parseJson(encoded(value, schema, withSchemas)!) as { schema: unknown }
  return json.schema
}

function recordsOf(make: (events: ReturnType<typeof newEvents>, into: EventBatch) => void): ConnectRecord[] {
  const batch = new EventBatch()
  make(newEvents(false, { 'topic.prefix': 'golden', 'provide.transaction.metadata': true }), batch)
  return batch.take().flatMap(part => (part.kind === 'records' ? part.records : []))
}

describe.skipIf(golden === undefined)('schemas are those of the real Debezium', () => {
  const firstOf = (run: string, topic: string) => {
    const found = loadGoldenRun(golden!, run).events.find(event => event.topic === topic && event.value !== null)!
    return { key: found.keySchema, value: found.valueSchema }
  }
  const schemas = (record: ConnectRecord) => ({
    key: schemaOf(record.key, record.keySchema),
    value: schemaOf(record.value, record.valueSchema),
  })

  test('of a table, of transactions and of messages', () => {
    const run = 'pg15-semantics-txmeta'
    const table = relation('comp_pk', ['b*', 'a*:int', 'v'])
    const transaction = { xid: 7, commitLsn: 9, commitTime: 1_000, origin: undefined }
    const records = recordsOf((events, into) => {
      events.begin(transaction)
      const made = events.table(table, tableInfo(table, ['a', 'b'], { primaryKey: ['a', 'b'] }))
      made.delete(keyOnly('x', '1', null), streamed(), into)
      made.insert(tuple('x', '1', null), streamed(), into)
      const content = Buffer.from('x')
      events.message({ transactional: true, lsn: 8, prefix: 'pfx', content }, transaction, into)
      events.commit(transaction, 10, into)
    })
    const seen = new Set<string>()
    for (const record of records.filter(({ value }) => value !== null)) {
      expect(schemas(record), record.topic).toEqual(firstOf(run, record.topic))
      seen.add(record.topic)
    }
    expect([...seen].sort()).toEqual(['golden.message', 'golden.public.comp_pk', 'golden.transaction'])
  })

  test('of heartbeats', () => {
    const [record] = recordsOf((events, into) => events.heartbeat(into))
    expect(schemas(record!)).toEqual(firstOf('pg15-heartbeat', '__debezium-heartbeat.golden'))
  })
})
