import { existsSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { startPostgres, sharedPostgres, type PostgresServer } from './postgres.ts'
import { POSTGRES_VERSIONS } from './postgres-binaries.ts'

const open: PostgresServer[] = []
afterAll(() => Promise.all(open.map(server => server.close())))

test.each(POSTGRES_VERSIONS)('PostgreSQL %i starts with logical decoding, and leaves nothing behind', async version => {
  const server = await startPostgres({ version })
  open.push(server)
  const { rows } = await server.query(
    "SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('wal_level') AS wal",
  )
  expect(rows).toEqual([{ major: version, wal: 'logical' }])
  await server.close()
  expect(existsSync(server.socketDir)).toBe(false)
})

test("Debian's 15 has PostGIS, runs scripts by psql and keeps what is committed when it is killed", async () => {
  const server = await sharedPostgres(15)
  const database = await server.createDatabase()
  await server.run('CREATE EXTENSION postgis; CREATE TABLE t(i int); INSERT INTO t VALUES (1);\nVACUUM t;', database)
  await expect(server.run('SELECT 1/0; INSERT INTO t VALUES (2)', database)).rejects.toThrow(/division by zero/)
  await server.kill()
  await server.start()
  expect((await server.query('SELECT i FROM t', database)).rows).toEqual([{ i: 1 }])
  for (const mode of ['fast', 'immediate'] as const) {
    await server.stop(mode)
    await server.start()
  }
  expect((await server.query('SELECT i FROM t', database)).rows).toEqual([{ i: 1 }])
})

test('a password is asked for where pg_hba.conf says so', async () => {
  const server = await startPostgres({ password: 'sec ret', hba: 'host all all all scram-sha-256\n' })
  open.push(server)
  expect((await server.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await expect(server.run('SELECT 1')).resolves.toBeUndefined()
})
