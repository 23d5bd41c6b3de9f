import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compareEvents, digestsOf } from '../../support/golden-compare.ts'
import { withDifferences } from '../../support/golden-differences.ts'
import { type ChangeEvent, loadGoldenRun, stableEvent, withoutColumns } from '../../support/golden-events.ts'
import { goldenScript, replay } from '../../support/golden-replay.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { sharedData } from '../../support/shared-data.ts'

const golden = sharedData('debezium-golden')
const databases = sharedData('databases')

const TYPES = [
  'pg15-types-default',
  'pg15-types-double-connect-hex',
  'pg15-types-isostring-base64url',
  'pg15-types-keep-null',
  'pg15-types-microseconds',
  'pg15-types-nanoseconds',
  'pg15-types-string-micro-base64',
]
const SEMANTICS = ['pg15-semantics-default', 'pg15-semantics-txmeta', 'pg15-semantics-alt']
const HEARTBEAT_TOPIC = '__debezium-heartbeat.golden'

describe.skipIf(golden === undefined).each([15, 17] as const)('the same SQL against PostgreSQL %i', version => {
  test('types: the events of seven settings are those of Debezium', { timeout: 240_000 }, () =>
    replayAndCompare(version, TYPES, 'pg15-types-default', 'gtypes'),
  )

  test('semantics: the events of three settings are those of Debezium', { timeout: 240_000 }, () =>
    replayAndCompare(version, SEMANTICS, 'pg15-semantics-txmeta', 'gsem'),
  )

  test('heartbeats have the topic, key and value of Debezium', { timeout: 120_000 }, () =>
    replayAndCompare(version, ['pg15-heartbeat'], 'pg15-heartbeat', 'ghb', true),
  )

  test.each([
    ['pg15-chinook', 'chinook/Chinook_PostgreSql.sql', 'chinook'],
    ['pg15-northwind', 'northwind/northwind.sql', 'northwind'],
  ])('%s: each phase and topic has the digest of the events of Debezium', { timeout: 240_000 }, async (...run) => {
    const [name, script, database] = run
    const server = await sharedPostgres(version)
    const text = readFileSync(join(databases!, script), 'utf8')
    // Chinook's makes its database itself.
    if (database === 'chinook') await server.run(text)
    else await server.run(text, await server.createDatabase(database))
    const stream = goldenScript(golden!, name, '03-stream.sql', version === 15)
    const { events } = (await replay(golden!, { server, runs: [name], database, stream })).get(name)!
    const { digests } = loadGoldenRun(golden!, name)
    const byName = (list: readonly (typeof digests)[number][]) =>
      Object.fromEntries(list.map(digest => [`${digest.phase}: ${digest.topic}`, digest]))
    expect(byName(digestsOf(events))).toEqual(byName(digests))
  })
})

async function replayAndCompare(
  version: 15 | 17,
  runs: readonly string[],
  scripts: string,
  database: string,
  pauses = false,
) {
  const server = await sharedPostgres(version)
  const script = (file: string) => goldenScript(golden!, scripts, file, version === 15)
  await server.createDatabase(database)
  await server.run(script('01-schema.sql'), database)
  await server.run(script('02-data.sql'), database)
  const replayed = await replay(golden!, { server, runs, database, stream: script('03-stream.sql'), pauses })
  const differences: Record<string, readonly string[]> = {}
  for (const name of runs) {
    const expected = withDifferences(name, withoutPostgis(loadGoldenRun(golden!, name).events, version === 15))
    const found = compareEvents(comparable(expected), comparable(replayed.get(name)!.events))
    if (found.length > 0) differences[name] = found
  }
  expect(differences).toEqual({})
}

/** Without what differs in every run; of heartbeats, whose number is the clock's, one. */
function comparable(events: readonly ChangeEvent[]): ChangeEvent[] {
  let beats = 0
  return events
    .filter(({ topic }) => topic !== HEARTBEAT_TOPIC || beats++ === 0)
    .map(event => stableEvent(event, 'golden'))
}

/** A server without PostGIS had to leave these columns out. */
function withoutPostgis(events: readonly ChangeEvent[], postgis: boolean): readonly ChangeEvent[] {
  if (postgis) return events
  return events.map(event =>
    event.topic === 'golden.public.geom_types_table' ? withoutColumns(event, ['g', 'g3', 'gg']) : event,
  )
}
