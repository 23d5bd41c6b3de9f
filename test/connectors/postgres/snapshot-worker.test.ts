import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadPipeline } from '../../../cli/compose.ts'
import { type Pipeline, startPipeline } from '../../../cli/index.ts'
import { committedRecords, readPlainLog } from '../../integrity/log/plain-log.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'

/** A worker of its own, with a YAML file that is changed under it. */
describe('a running worker', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kts-snapshot-worker-'))
  const file = join(directory, 'pipeline.yaml')
  let server: PostgresServer
  let database: string
  let pipeline: Pipeline

  function configure(tables: readonly string[]): void {
    const source = {
      type: 'postgres',
      'database.hostname': server.host,
      'database.port': server.port,
      'database.user': 'postgres',
      'database.dbname': database,
      'database.sslmode': 'disable',
      'topic.prefix': 'x',
      'slot.name': 'snapshot_worker',
      'publication.name': 'snapshot_worker',
      'publication.autocreate.mode': 'filtered',
      'table.include.list': tables,
    }
    writeFileSync(file, JSON.stringify({ name: 'p', worker: { 'rest.port': 0 }, sources: { db: source } }))
  }

  beforeAll(async () => {
    server = await sharedPostgres(17)
    database = await server.createDatabase()
    await server.run(
      `CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 10);
CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 20)`,
      database,
    )
    configure(['public\\.a'])
    pipeline = await startPipeline([file])
  }, 120_000)

  afterAll(async () => {
    await pipeline.stop()
    await server.query("SELECT pg_drop_replication_slot('snapshot_worker')")
    rmSync(directory, { recursive: true, force: true })
  })

  /** Values of a topic, once there are so many. */
  async function events(topic: string, count: number): Promise<{ op: string; source: { snapshot: string } }[]> {
    const folder = join(directory, '.kts-connect', `${topic}-0`)
    for (;;) {
      const { connectors } = await pipeline.status()
      if (connectors[0]?.state === 'FAILED') throw new Error(connectors[0].tasks[0]?.trace ?? 'failed')
      const records = recordsOf(folder)
      if (records.length >= count) return records.map(value => JSON.parse(value))
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  it('reads a table again that is asked for by REST, and says so', async () => {
    await events('x.public.a', 10)
    const asked = () => ask({ type: 'incremental', 'data-collections': ['public.a'] })
    let answer = await asked()
    // The rows of the first snapshot are there a moment before it is over.
    while (answer.status === 409 && /initial snapshot is not over yet/.test(await answer.clone().text()))
      answer = await asked()
    expect(answer.status).toBe(202)
    expect(JSON.stringify(await answer.json())).toMatch(/will read public\.a/)
    const told = await events('x.public.a', 20)
    expect(told.slice(10).map(event => `${event.op} ${event.source.snapshot}`)).toEqual(Array(10).fill('r incremental'))
    const refused = await ask({ 'data-collections': ['public.nothing'] })
    expect(refused.status).toBeGreaterThanOrEqual(400)
    expect(refused.status).toBeLessThan(500)
    expect(JSON.stringify(await refused.json())).toMatch(/none is called public\.nothing/)
  })

  it('reads a table that is added to its YAML, without a restart of the worker', async () => {
    configure(['public\\.a', 'public\\.b'])
    await pipeline.apply(await loadPipeline([file]))
    const told = await events('x.public.b', 20)
    expect(told.every(event => event.op === 'r')).toBe(true)
    await server.query('INSERT INTO b VALUES (21); INSERT INTO a VALUES (11)', database)
    expect((await events('x.public.b', 21)).at(-1)!.op).toBe('c')
    expect((await events('x.public.a', 21)).map(event => event.op).join('')).toBe(`${'r'.repeat(20)}c`)
  })

  function ask(data: object): Promise<Response> {
    return fetch(`${pipeline.url}/kts/connectors/db/signals`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'execute-snapshot', data }),
    })
  }
})

function recordsOf(folder: string): string[] {
  try {
    return committedRecords(readPlainLog(folder)).flatMap(({ value }) => (value === null ? [] : [String(value)]))
  } catch {
    return []
  }
}
