import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { SeededRandom, systemClock, systemRandom } from '../../base/index.ts'
import { accessLogChunk, accessLogLine, timeLocal } from '../../cli/access-log.ts'
import { growAccessLog, writeAccessLog } from '../../cli/access-log-file.ts'

// nginx's predefined `combined` (ngx_http_log_module).
const COMBINED =
  /^\S+ - - \[\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000\] "[A-Z]+ \/\S* HTTP\/1\.1" \d{3} \d+ "[^"]*" "[^"]+"$/

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-access-log-'))
})
afterEach(() => rm(folder, { recursive: true }))

it('every line is in the combined format, in ASCII, and about as long as real ones', () => {
  const random = new SeededRandom(7)
  const lines = Array.from({ length: 5000 }, (_, i) => accessLogLine(random, 1_700_000_000_000 + i * 1000))
  expect(lines.filter(line => !COMBINED.test(line))).toEqual([])
  expect(lines.every(line => Buffer.byteLength(line) === line.length)).toBe(true)
  const average = lines.join('\n').length / lines.length
  expect(average).toBeGreaterThan(200)
  expect(average).toBeLessThan(230)
})

it('the time is the given one, in UTC', () => {
  expect(timeLocal(Date.UTC(2026, 1, 3, 4, 5, 6))).toBe('03/Feb/2026:04:05:06 +0000')
})

it('a chunk keeps within its bytes and goes on in time', () => {
  const chunk = accessLogChunk(new SeededRandom(1), 10_000, 0, 500)
  expect(chunk.text.length).toBeLessThanOrEqual(10_000)
  expect(chunk.text.split('\n')).toHaveLength(chunk.lines + 1)
  expect(chunk.nextMs).toBe(chunk.lines * 500)
})

it('the same seed writes the same bytes, another seed others', async () => {
  const hash = async (name: string, seed: number) => {
    const written = await writeAccessLog(join(folder, name), 3_000_000, seed)
    const bytes = await readFile(join(folder, name))
    expect(written.bytes).toBe(bytes.length)
    expect(bytes.length).toBeGreaterThan(2_999_000)
    expect(bytes.length).toBeLessThanOrEqual(3_000_000)
    expect(bytes.toString('latin1').split('\n')).toHaveLength(written.lines + 1)
    return createHash('sha256').update(bytes).digest('hex')
  }
  const first = await hash('a', 5)
  expect(await hash('a', 5)).toBe(first)
  expect(await hash('b', 6)).not.toBe(first)
})

it('a growing log only ever holds whole lines, and stops when told', async () => {
  const file = join(folder, 'growing.log')
  const stop = new AbortController()
  const growing = growAccessLog(file, 2000, { random: systemRandom, clock: systemClock, signal: stop.signal })
  let text = ''
  while (text.length < 50_000) text = await readFile(file, 'latin1').catch(() => '')
  stop.abort()
  await growing
  text = await readFile(file, 'latin1')
  expect(text.endsWith('\n')).toBe(true)
  expect(
    text
      .trimEnd()
      .split('\n')
      .filter(line => !COMBINED.test(line)),
  ).toEqual([])
})
