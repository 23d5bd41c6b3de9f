import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { compareLines } from './checker.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kts-checker-'))
  mkdirSync(join(directory, 'logs'))
  mkdirSync(join(directory, 'objects/.unfinished'), { recursive: true })
})
afterEach(() => rmSync(directory, { recursive: true }))

const line = (n: number) => `a 0 ${n} payload \xff${n}`
const bytes = (lines: readonly string[]) => Buffer.from(lines.map(l => `${l}\n`).join(''), 'latin1')
const log = (name: string, lines: readonly string[]) => writeFileSync(join(directory, 'logs', name), bytes(lines))
const object = (offset: number, lines: readonly string[]) =>
  writeFileSync(join(directory, `objects/t+0+${String(offset).padStart(10, '0')}.txt.gz`), gzipSync(bytes(lines)))
const compare = () => compareLines(join(directory, 'logs'), join(directory, 'objects'))

test('the same lines in the same order are found whole, over rotated files and several objects', () => {
  log('a.log', [line(2), 'a 1 3 x'])
  log('a.log.1', [line(0), line(1)])
  object(0, [line(0), line(1)])
  object(2, [line(2), 'a 1 3 x'])
  writeFileSync(join(directory, 'objects/.unfinished/t+0+0000000009.txt.gz'), 'half')
  expect(compare()).toEqual({ records: 4, lost: 0, altered: 0, reordered: 0, duplicates: 0, examples: [] })
})

test('what is lost, altered, repeated or out of order is told', () => {
  log('a.log', [0, 1, 2, 3, 4].map(line))
  object(0, [line(0), line(2), line(1), line(2), `${line(3)}!`, 'foreign'])
  const found = compare()
  expect(found).toMatchObject({ records: 5, lost: 2, altered: 2, reordered: 1, duplicates: 1 })
  expect(found.examples).toHaveLength(6)
})

test('a missing object is loss, and no objects at all is total loss', () => {
  log('a.log', [0, 1].map(line))
  expect(compare()).toMatchObject({ records: 2, lost: 2 })
})
