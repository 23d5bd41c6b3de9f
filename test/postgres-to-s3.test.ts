import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseJson } from '../base/index.ts'
import { type Pipeline, startPipeline } from '../cli/index.ts'
import { contentOf, objectsInOrder } from './integrity/checker.ts'
import { type PostgresServer, startPostgres } from './support/postgres.ts'

const EXAMPLE = readFileSync(new URL('../configs/postgres-to-s3.yaml', import.meta.url), 'utf8')

/** What the example tells its reader to run in the database. */
const STATEMENTS = [...EXAMPLE.matchAll(/^# {3}((?:ALTER|CREATE|GRANT) .*?;)/gm)].map(([, statement]) => statement!)

const TABLES = `
  CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
  CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int REFERENCES customers, total numeric(8, 2), note text);
  ALTER TABLE orders REPLICA IDENTITY FULL;
  INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob');
  INSERT INTO orders VALUES (9007199254740993, 1, 12.50, NULL);`

/** Everybody but the superuser needs the password, as on a real server. */
const HBA = `
local all postgres trust
host  all postgres 127.0.0.1/32 trust
host  all all 127.0.0.1/32 scram-sha-256
`

let server: PostgresServer
let folder: string
let pipeline: Pipeline | undefined

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kts-postgres-to-s3-'))
  server = await startPostgres({ hba: HBA })
  await server.createDatabase('shop')
  await server.run(TABLES, 'shop')
})

afterAll(async () => {
  await pipeline?.stop()
  await server?.close()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

test('the example postgres-to-s3 writes a row for each change of a database prepared as it says', async () => {
  expect(STATEMENTS.length).toBeGreaterThan(6)
  await server.run(STATEMENTS.join('\n'), 'shop')
  pipeline = await startExample()
  await expect.poll(() => rowsOf('orders').length, WAIT).toBe(1)
  await expect.poll(() => rowsOf('customers').length, WAIT).toBe(2)
  await server.run(
    `UPDATE orders SET note = 'gift' WHERE customer_id = 1;
     DELETE FROM orders WHERE customer_id = 1;
     DELETE FROM customers WHERE id = 2;`,
    'shop',
  )
  await expect.poll(() => rowsOf('orders').length, WAIT).toBe(3)
  await expect.poll(() => rowsOf('customers').length, WAIT).toBe(3)

  const order = { id: 9007199254740993n, customer_id: 1, total: '12.50', note: null }
  expect(rowsOf('orders').map(told)).toEqual([
    { ...order, __deleted: 'false', __op: 'r' },
    { ...order, note: 'gift', __deleted: 'false', __op: 'u' },
    { ...order, note: 'gift', __deleted: 'true', __op: 'd' },
  ])
  expect(rowsOf('customers').map(told)).toEqual([
    { id: 1, name: 'Ann', __deleted: 'false', __op: 'r' },
    { id: 2, name: 'Bob', __deleted: 'false', __op: 'r' },
    { id: 2, name: '', __deleted: 'true', __op: 'd' },
  ])
  const positions = rowsOf('orders').map(row => BigInt(row.__lsn as bigint))
  expect(positions).toEqual([...positions].sort((a, b) => (a < b ? -1 : 1)))
})

test('a table that is made while it runs is with the sink within 10 s, and gets a folder with its first row as the insert that it was', async () => {
  await server.run('CREATE TABLE refunds (id int PRIMARY KEY); INSERT INTO refunds VALUES (1);', 'shop')
  const sinkTopics = async () => (await pipeline!.status()).connectors.find(({ name }) => name === 'rows')?.topics
  await expect.poll(sinkTopics, { timeout: 10_000, interval: 100 }).toContain('shop.public.refunds')
  await expect.poll(() => rowsOf('refunds').length, WAIT).toBeGreaterThan(0)
  expect(told(rowsOf('refunds')[0]!)).toEqual({ id: 1, __deleted: 'false', __op: 'c' })
})

const WAIT = { timeout: 60_000, interval: 100 }

/** The example as it stands but for the address of the server, and a folder that fills quickly in place of a bucket. */
async function startExample(): Promise<Pipeline> {
  const text = [
    [/database\.port: 5432/, `database.port: ${server.port}`],
    [/s3\.bucket\.name: my-lake\n/, 'store.url: ./exports\n    rotate.idle.ms: 200ms\n'],
    [/ {4}s3\.region: eu-central-1\n/, ''],
  ].reduce((yaml, [part, other]) => {
    expect(yaml).toMatch(part!)
    return yaml.replace(part!, other as string)
  }, `worker: { rest.port: 0 }\n${EXAMPLE}`)
  writeFileSync(join(folder, 'postgres-to-s3.yaml'), text)
  return startPipeline([join(folder, 'postgres-to-s3.yaml')], { env: { PGPASSWORD: 'change me' } })
}

/** In the order of their objects, one partition. */
function rowsOf(table: string): Record<string, unknown>[] {
  const topics = join(folder, 'exports/topics')
  if (!existsSync(topics) || !readdirSync(topics).includes(`shop.public.${table}`)) return []
  return objectsInOrder(join(topics, `shop.public.${table}`))
    .flatMap(path => contentOf(path).toString().trimEnd().split('\n'))
    .map(line => parseJson(line) as Record<string, unknown>)
}

/** Without what differs from run to run. */
function told({ __ts_ms, __lsn, ...row }: Record<string, unknown>): unknown {
  expect(__ts_ms).toBeTypeOf('number')
  expect(Number(__lsn)).toBeGreaterThan(0)
  return row
}
