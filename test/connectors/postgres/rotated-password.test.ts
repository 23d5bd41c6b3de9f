import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startPipeline } from '../../../cli/index.ts'
import { startPostgres } from '../../support/postgres.ts'

it('a connector whose password was changed waits until the server lets it in; one that never was let in fails at once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'kts-rotated-'))
  const server = await startPostgres({
    version: 17,
    hba: 'local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all capture 127.0.0.1/32 scram-sha-256',
  })
  await server.run(
    `CREATE ROLE capture SUPERUSER LOGIN PASSWORD 'first'; CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)`,
  )
  const source = {
    type: 'postgres',
    'database.hostname': server.host,
    'database.port': server.port,
    'database.user': 'capture',
    'database.password': 'first',
    'database.dbname': 'postgres',
    'topic.prefix': 'x',
  }
  const stranger = { ...source, 'database.password': 'guessed', 'topic.prefix': 'y', 'slot.name': 'y' }
  const worker = { 'rest.port': 0, 'task.restart.backoff.ms': 10, 'task.restart.backoff.max.ms': 50 }
  const file = join(directory, 'pipeline.yaml')
  writeFileSync(file, JSON.stringify({ name: 'p', worker, sources: { db: source, stranger } }))
  let pipeline = await startPipeline([file])
  try {
    const task = async () => (await pipeline.status()).connectors[0]!.tasks[0]!
    const refused = async () => {
      const { state, trace = '' } = await task()
      return `${state} ${/28P01/.test(trace)}`
    }
    const read = async () => (await pipeline.status()).connectors[0]!.counters.recordsLogged
    await expect.poll(read, { timeout: 20_000 }).toBe(1)
    const [, other] = (await pipeline.status()).connectors
    expect(other!.state).toBe('FAILED')
    expect(other!.tasks[0]!.trace).toMatch(/^CONFIG_INVALID: .*28P01.*check database.user and database.password/)
    // Under a connection that is cut, and at the start of a worker that finds its positions.
    await server.query("ALTER ROLE capture PASSWORD 'second'")
    await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'capture'")
    await expect.poll(refused, { timeout: 20_000 }).toBe('RESTARTING true')
    await server.query("INSERT INTO a VALUES (2); ALTER ROLE capture PASSWORD 'first'")
    await expect.poll(read, { timeout: 20_000 }).toBe(2)
    expect((await task()).state).toBe('RUNNING')
    await server.query("ALTER ROLE capture PASSWORD 'second'")
    await pipeline.stop()
    pipeline = await startPipeline([file])
    await expect.poll(refused, { timeout: 20_000 }).toBe('RESTARTING true')
    await server.query("INSERT INTO a VALUES (3); ALTER ROLE capture PASSWORD 'first'")
    await expect.poll(read, { timeout: 20_000 }).toBe(1)
  } finally {
    await pipeline.stop()
    await server.close()
    rmSync(directory, { recursive: true, force: true })
  }
}, 90_000)
