import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contentOf, linesOf, objectsInOrder } from './integrity/checker.ts'
import { sharedData } from './support/shared-data.ts'

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const directory = sharedData('access-logs')
const files =
  directory === undefined
    ? []
    : [
        'apache-combined.log',
        ...readdirSync(join(directory, 'crowdsec'))
          .filter(name => name.endsWith('.log'))
          .map(name => `crowdsec/${name}`),
      ]

/** One topic, and so one order, for each file: both paths run over all of them in one worker. */
function pipeline(): string {
  const sources = files.flatMap((_, i) => [
    `  raw-${i}: { type: file, paths: [${i}.log], topic: raw-${i}, at.end: stop }`,
    `  parsed-${i}:`,
    `    { type: file, paths: [${i}.log], topic: parsed-${i}, at.end: stop, transforms: [{ type: Parse, format: combined }] }`,
  ])
  const topics = (kind: string) => files.map((_, i) => `${kind}-${i}`).join(', ')
  return `name: text-path
worker: { rest.port: 0 }
sources:
${sources.join('\n')}
sinks:
  text: { type: s3, topics: [${topics('raw')}], store.url: ./objects, format: text, compression: gzip }
  json: { type: s3, topics: [${topics('parsed')}], store.url: ./objects, format: json, compression: gzip }
`
}

describe.skipIf(directory === undefined)('real logs from file to object', () => {
  let work = ''
  let said = ''

  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'kts-text-path-'))
    for (const [i, file] of files.entries()) copyFileSync(join(directory!, file), join(work, `${i}.log`))
    writeFileSync(join(work, 'pipeline.yaml'), pipeline())
    mkdirSync(join(work, 'elsewhere'))
    const start = [MAIN, 'start', join(work, 'pipeline.yaml')]
    const ended = spawnSync(process.execPath, start, {
      cwd: join(work, 'elsewhere'),
      encoding: 'utf8',
      timeout: 100_000,
    })
    said = `${ended.stdout}\n${ended.stderr}`
    expect(ended.status, said).toBe(0)
  })

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  const content = (topic: string) =>
    Buffer.concat(objectsInOrder(join(work, 'objects/topics', topic)).map(path => contentOf(path)))

  /** What the worker counted as it ended. */
  function countedErrors(connector: string): number {
    const lines = said.split('\n').filter(text => text.includes(`"connector":"${connector}"`))
    const progress = lines.map(text => JSON.parse(text)).findLast(({ events }) => events !== undefined)
    return progress.events['parse.errors'] ?? 0
  }

  /** The log with the newline that its last line may lack. */
  function original(i: number): Buffer {
    const bytes = readFileSync(join(work, `${i}.log`))
    return bytes.at(-1) === 10 ? bytes : Buffer.concat([bytes, Buffer.from('\n')])
  }

  const cases = files.map((file, i) => [file, i] as const)

  test.each(cases)('%s arrives byte for byte, a missing last newline added', (_, i) => {
    expect(content(`raw-${i}`).equals(original(i))).toBe(true)
  })

  test.each(cases)('%s is parsed line by line, and what does not parse is kept whole', (file, i) => {
    const lines = linesOf(original(i))
    const values = linesOf(content(`parsed-${i}`)).map(text => JSON.parse(Buffer.from(text, 'latin1').toString()))
    expect(values).toHaveLength(lines.length)
    let kept = 0
    for (const [n, value] of values.entries()) {
      if ('parse_error' in value) {
        kept++
        expect(value.message).toBe(Buffer.from(lines[n]!, 'latin1').toString())
      } else {
        expect(lines[n]!.startsWith(`${value.remote_addr} - `)).toBe(true)
        expect(lines[n]).toContain(`[${value.time_local}]`)
      }
    }
    expect(countedErrors(`parsed-${i}`)).toBe(kept)
    if (file === 'apache-combined.log') expect(kept).toBe(1)
  })
})
