import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { eventsOf, goldenScript } from '../../support/golden-replay.ts'
import { scriptPhases } from '../../support/golden-events.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'
import { compareRebuilt } from '../../support/rebuild.ts'
import { sharedData } from '../../support/shared-data.ts'

const golden = sharedData('debezium-golden')
const databases = sharedData('databases')

const SETTINGS = {
  'topic.prefix': 'golden',
  'decimal.handling.mode': 'string',
  'interval.handling.mode': 'string',
  'key.converter': 'json',
  'key.converter.schemas.enable': true,
  'value.converter': 'json',
  'value.converter.schemas.enable': true,
}

/** What Debezium's form of a type does not say. */
const NOT_SAID: ReadonlyMap<string, string> = new Map([
  ['arrays2_table.tza', 'the offset of a time with time zone: it comes in UTC'],
  ['bitbin_table.bv1', 'an empty bit varying(1), which is a boolean: it comes as NULL'],
  ['date_special_table.ts', 'microseconds past 64 bits, after the year 294247: the last one that there is'],
  ['time_table.ts_max', 'microseconds past 64 bits, after the year 294247: the last one that there is'],
])

describe.skipIf(golden === undefined || databases === undefined).each([15, 17] as const)(
  'snapshot and stream from PostgreSQL %i give every table back, column by column:',
  version => {
    test.each([
      ['pg15-types-default', undefined, 'rebuilt_types'],
      ['pg15-chinook', 'chinook/Chinook_PostgreSql.sql', 'rebuilt_chinook'],
      ['pg15-northwind', 'northwind/northwind.sql', 'rebuilt_northwind'],
    ])('%s', { timeout: 180_000 }, async (name, script, database) => {
      const server = await sharedPostgres(version)
      const text = (file: string) => goldenScript(golden!, name, file, version === 15)
      await server.createDatabase(database)
      if (script === undefined) {
        await server.run(text('01-schema.sql'), database)
        await server.run(text('02-data.sql'), database)
      } else {
        const whole = readFileSync(join(databases!, script), 'utf8')
        // Chinook's makes a database of one name, which another test has.
        await server.run(whole.replaceAll(/^(DROP|CREATE) DATABASE .*$|^\\c .*$/gm, ''), database)
      }
      const pipeline = new PostgresPipeline({ server, database, slot: database, settings: SETTINGS })
      try {
        await pipeline.start()
        await pipeline.caughtUp()
        for (const { sql } of scriptPhases(text('03-stream.sql'))) await server.run(sql, database)
        await pipeline.caughtUp()
        await pipeline.stop()
        const events = eventsOf(pipeline.topics())
        const { rows: tables } = await server.query(TABLES, database)
        expect(tables.length).toBeGreaterThan(10)
        const differences: string[] = []
        for (const { schema, name: table } of tables) {
          const topic = `golden.${schema}.${table}`.replaceAll(/[^a-zA-Z0-9._-]/g, '_')
          const own = events.filter(event => event.topic === topic)
          differences.push(...(await compareRebuilt(server, database, { schema, name: table }, own, NOT_SAID)))
        }
        expect(differences).toEqual([])
      } finally {
        await pipeline.close()
      }
    })
  },
)

/** Not those of extensions. */
const TABLES = `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2`
