import { isDeepStrictEqual } from 'node:util'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { columnCodec } from '../../../connectors/postgres/types/index.ts'
import { type JsonObject, jsonOf, parseJson, silentLogger, stringifyJson } from '../../../runtime/api/index.ts'
import { isObject, loadGoldenRun, readMaybeZipped } from '../../support/golden-events.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { sharedData } from '../../support/shared-data.ts'
import {
  columnsOf,
  schemaJson,
  type ServerColumn,
  type ServerValue,
  type TypeOptions,
  typeOptions,
  typesClient,
  typesOf,
  valuesOf,
  ways,
} from './types-harness.ts'
import { adjustedField } from './types-differences.ts'

const golden = sharedData('debezium-golden')

const RUNS = [
  'pg15-types-default',
  'pg15-types-double-connect-hex',
  'pg15-types-isostring-base64url',
  'pg15-types-keep-null',
  'pg15-types-microseconds',
  'pg15-types-nanoseconds',
  'pg15-types-string-micro-base64',
]
/** Different in every run. */
const VOLATILE = ['defaults_table.now_ts', 'defaults_table.u']

interface GoldenTable {
  /** Fields of the row, by name. */
  readonly fields: ReadonlyMap<string, JsonObject>
  readonly rows: readonly JsonObject[]
}

describe.skipIf(golden === undefined)('fields of rows, against Debezium', () => {
  let client: pg.Client
  const tables = new Map<string, { columns: ServerColumn[]; rows: ServerValue[][] }>()

  beforeAll(async () => {
    const server = await sharedPostgres(15)
    const database = await server.createDatabase()
    // Twice: the stream's rows are the second ones.
    for (const file of ['01-schema.sql', '02-data.sql', '02-data.sql']) {
      await server.run(readMaybeZipped(`${golden}/pg15-types-default/${file}`)!, database)
    }
    client = await typesClient(server.url(database))
  }, 120_000)
  afterAll(() => client?.end())

  test.each(RUNS)(
    '%s: each field has the schema and the value that it has there, or the documented other one',
    async run => {
      const types = await typesOf(client)
      const { events, settings } = loadGoldenRun(golden!, run)
      const options = typeOptions(settings as unknown as Partial<TypeOptions>)
      const replacesNulls = settings['value.converter.replace.null.with.default'] !== 'false'
      const problems: string[] = []
      for (const [name, { fields, rows }] of tablesOf(events)) {
        const table = await load(name)
        for (const [i, column] of table.columns.entries()) {
          const field = `${name}.${column.name}`
          if (VOLATILE.includes(field) || column.generated !== undefined) continue
          const codec = columnCodec(column, types, typeOptions({ ...options, ...settingsOf(options) }), silentLogger)!
          const values = table.rows.map(row => {
            const [first, ...others] = ways(codec, row[i]!)
            for (const other of others) if (other !== first) problems.push(`${field}: ${first} but ${other}`)
            return parseJson(first!)
          })
          const schema = schemaJson(codec.schema) as JsonObject
          const preset = schema.default
          const expected = adjustedField(field, options, {
            schema: fields.get(column.name),
            values: rows.map(row => row[column.name] ?? null),
          })
          const ours = replacesNulls && preset !== undefined ? values.map(value => value ?? preset) : values
          if (!isDeepStrictEqual(ours, expected.values))
            problems.push(`${field}:\n  ${shown(ours)}\n  ${shown(expected.values)}`)
          if (!isDeepStrictEqual(schema, expected.schema))
            problems.push(`${field}:\n  ${shown(schema)}\n  ${shown(expected.schema)}`)
        }
      }
      expect(problems.join('\n')).toBe('')
    },
  )

  test.each(RUNS)('%s: what was not sent of a deleted row is what it is there', async run => {
    const types = await typesOf(client)
    const { events, settings } = loadGoldenRun(golden!, run)
    const options = typeOptions({ ...(settings as unknown as Partial<TypeOptions>), ...settingsOf(typeOptions()) })
    for (const { topic, value } of events) {
      if (!isObject(value) || value.op !== 'd' || !topic.startsWith('golden.public.')) continue
      const before = value.before as JsonObject
      const { columns } = await load(topic.slice('golden.public.'.length))
      for (const column of columns) {
        const codec = columnCodec(column, types, options, silentLogger)!
        const expected = before[column.name]
        // The key was sent; the base64 of nothing is nothing in text, too.
        if (column.name === 'pk' || expected === undefined) continue
        expect([column.name, parseJson(jsonOf(codec.schema, codec.absent))]).toEqual([column.name, expected])
      }
    }
  })

  async function load(name: string) {
    let table = tables.get(name)
    if (table === undefined) {
      const schema = name.startsWith('Quoted') ? '"Quoted_"" . Schema"' : 'public'
      const quoted = `${schema}."${name.replaceAll('"', '""')}"`
      const columns = await columnsOf(client, quoted)
      const rows = await valuesOf(client, quoted, columns)
      table = { columns, rows: rows.slice(rows.length / 2) }
      tables.set(name, table)
    }
    return table
  }
})

const shown = (value: unknown) => stringifyJson(value ?? null)

/** Ours begin with what Debezium was set to, but give the types that it leaves out. */
function settingsOf(options: TypeOptions): Partial<TypeOptions> {
  return { 'include.unknown.datatypes': true, 'money.fraction.digits': Number(options['money.fraction.digits']) }
}

/** What the inserts of the stream had, which are those of the snapshot once more. */
function tablesOf(events: ReturnType<typeof loadGoldenRun>['events']): ReadonlyMap<string, GoldenTable> {
  const tables = new Map<string, { fields: Map<string, JsonObject>; rows: JsonObject[] }>()
  for (const { phase, value, valueSchema } of events) {
    if (!isObject(value) || !isObject(value.source) || value.op !== 'c' || phase?.startsWith('inserts') !== true)
      continue
    const name = String(value.source.table)
    const fields = new Map<string, JsonObject>()
    const rowSchema = (valueSchema as { fields: { field: string; fields: JsonObject[] }[] }).fields.find(
      ({ field }) => field === 'after',
    )!
    for (const { field, ...schema } of rowSchema.fields) fields.set(String(field), schema as JsonObject)
    const table = tables.get(name) ?? { fields, rows: [] }
    tables.set(name, table)
    table.rows.push(value.after as JsonObject)
  }
  return tables
}
