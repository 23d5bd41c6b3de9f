import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CATALOGUE } from '../cli/compose.ts'
import { loadTexts } from './support/config-fixture.ts'
import { DIFFERENCES } from './support/golden-differences.ts'
import { sharedPostgres } from './support/postgres.ts'

const page = read('docs/postgres.md')
const differences = read('docs/debezium-differences.md')

test('the SQL of docs/postgres.md runs, in its order', async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  const blocks = blocksOf(page, 'sql')
  expect(blocks.length).toBeGreaterThan(4)
  await server.run('CREATE TABLE orders (id int PRIMARY KEY)', database)
  for (const block of blocks) await server.run(block, database)
})

const configs = ['yaml', 'json'].flatMap(kind => blocksOf(page, kind).map(text => [kind, text] as const))

test.each(configs)('the %s examples of docs/postgres.md load without a warning: %#', async (kind, text) => {
  const env = { SHOP_PASSWORD: 'secret' }
  const { sources, warnings } = await loadTexts({ [`/p/a.${kind}`]: text }, { catalogue: CATALOGUE, env })
  expect(sources.map(({ connector }) => connector.name)).toEqual(['postgres'])
  expect(warnings).toEqual([])
})

test('docs/postgres.md names no option that there is not', () => {
  const specs = Object.assign({}, ...CATALOGUE.sources.map(({ options }) => options))
  const named = [
    ...page.matchAll(/`((?:slot|snapshot|publication|database|signal|incremental|heartbeat)\.[a-zA-Z.]+)/g),
  ]
  expect(named.length).toBeGreaterThan(10)
  expect(named.map(([, name]) => name!).filter(name => !Object.hasOwn(specs, name))).toEqual([])
})

const named = [...differences.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g)].map(match => [match[1]!, match[2]!])

test.each(named)('docs/debezium-differences.md: there is a test "%s" in %s', (name, file) => {
  expect(existsSync(new URL(`../${file}`, import.meta.url))).toBe(true)
  expect(read(file)).toContain(name)
})

test('docs/debezium-differences.md: every row names its test, and every difference of the golden replay has a row', () => {
  const rows = differences.split('\n').filter(line => /^\| [^|]/.test(line) && !line.startsWith('| | '))
  expect(rows.length).toBeGreaterThan(25)
  expect(rows.filter(row => !row.includes('](../test/'))).toEqual([])
  const told = named.filter(([, file]) => file === 'test/support/golden-differences.ts').map(([text]) => text!)
  const untold = DIFFERENCES.map(({ reason }) => reason).filter(reason => !told.some(text => reason.startsWith(text)))
  // The table of values tells those one by one.
  expect(untold).toEqual([expect.stringContaining('types-differences.ts')])
})

function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(match => match[1]!)
}

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}
