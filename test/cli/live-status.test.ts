import pc from 'picocolors'
import { expect, it } from 'vitest'
import { ManualClock } from '../../base/index.ts'
import { LiveStatus } from '../../cli/live-status.ts'
import { terminalLogger } from '../../cli/log.ts'
import { columnsOf } from '../../cli/output.ts'
import { inLogLines, withTable } from '../../cli/progress.ts'
import { statusNotes } from '../../cli/status-text.ts'
import { connectorStatus, workerStatus } from '../web/support.ts'

const PLAIN = pc.createColors(false)

/** A terminal just clever enough: newline, carriage return, cursor up (in its column), clear to the end. */
class FakeScreen {
  readonly columns = 120
  readonly rows: number
  lines: string[] = ['']
  #row = 0
  #column = 0

  constructor(rows = 24) {
    this.rows = rows
  }

  write(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences a terminal acts on
    for (const part of text.split(/(\u001b\[\d+[AJ]|\n|\r)/)) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
      const up = /^\u001b\[(\d+)A$/.exec(part)
      if (up !== null) this.#row -= Number(up[1])
      else if (part === '\u001b[0J') {
        this.lines = [...this.lines.slice(0, this.#row), this.lines[this.#row]!.slice(0, this.#column)]
      } else if (part === '\r') this.#column = 0
      else if (part === '\n') {
        this.#row++
        this.#column = 0
        this.lines[this.#row] ??= ''
      } else {
        const line = this.lines[this.#row]!
        this.lines[this.#row] = line.slice(0, this.#column) + part + line.slice(this.#column + part.length)
        this.#column += part.length
      }
      expect(this.#row).toBeGreaterThanOrEqual(0)
    }
  }
}

function at(recordsRead: number, facts: Record<string, string> = {}) {
  const zero = connectorStatus('access-log').counters
  const counters = { ...zero, recordsRead, recordsLogged: recordsRead, bytesRead: recordsRead * 1024, bytesOut: 1 }
  return workerStatus([connectorStatus('access-log', { counters, facts })])
}

it('draws over itself, with rates since the last time', async () => {
  const screen = new FakeScreen()
  const clock = new ManualClock()
  const live = new LiveStatus(screen, clock, PLAIN, 'kts-connect')
  live.show(at(0))
  const height = screen.lines.length
  await clock.advance(2000)
  live.show(at(3000, { 'last object': 's3://logs/a.json' }))
  expect(screen.lines).toHaveLength(height + 1)
  expect(screen.lines[2]).toMatch(
    /^access-log +file source +RUNNING +3,000 +3,000 +2.9 MiB +1 B +0 +1,500 +1,500 +1.5 MiB$/,
  )
  expect(screen.lines.join('\n')).toContain('access-log last object: s3://logs/a.json')
})

it('log lines go above the table and stay', () => {
  const screen = new FakeScreen()
  const live = new LiveStatus(screen, new ManualClock(), PLAIN, 'kts-connect')
  live.show(at(1))
  const table = [...screen.lines]
  live.log('14:00:00 INFO  first\n')
  live.log('14:00:01 WARN  second\n')
  live.show(at(1))
  expect(screen.lines).toEqual([
    '14:00:00 INFO  first',
    '14:00:01 WARN  second',
    ...table.slice(0, 2),
    expect.any(String),
    ...table.slice(3),
  ])
})

it('what the terminal echoes at Ctrl-C leaves nothing of the table behind', () => {
  const screen = new FakeScreen()
  const live = new LiveStatus(screen, new ManualClock(), PLAIN, 'kts-connect')
  live.show(at(1))
  screen.write('^C')
  live.log('14:00:00 INFO  stopping\n')
  expect(screen.lines[0]).toBe('14:00:00 INFO  stopping')
})

it('the first object and how to read it stand whole above the table, whatever the width', () => {
  const screen = new FakeScreen()
  const live = new LiveStatus(screen, new ManualClock(), PLAIN, 'kts-connect')
  const path = `/${'deep/'.repeat(60)}a.gz`
  const progress = withTable(
    live,
    terminalLogger('info', line => live.log(line)),
  )
  for (let i = 1; i < 3; i++) progress.show(at(i, { 'last object': path, 'read it with': `gzip -dc ${path}` }))
  expect(screen.lines.filter(line => line.includes(`read it with=gzip -dc ${path}`))).toHaveLength(1)
})

it('never draws more lines than the terminal has, which could not be drawn over', () => {
  const screen = new FakeScreen(6)
  const live = new LiveStatus(screen, new ManualClock(), PLAIN, 'kts-connect')
  const many = workerStatus(Array.from({ length: 50 }, (_, i) => connectorStatus(`c${i}`)))
  live.show(many)
  live.show(many)
  expect(screen.lines).toHaveLength(6)
})

it('without a terminal there is a summary every 30 s, and the first object once', async () => {
  const clock = new ManualClock()
  const said: [string, Record<string, unknown>][] = []
  const note = (fields: object, message: string) => void said.push([message, { ...fields }])
  const log = { debug: note, info: note, warn: note, error: note, child: () => log }
  const progress = inLogLines(log, clock)
  const status = at(5, { 'last object': '/exports/a.gz', 'read it with': 'gzip -dc /exports/a.gz' })
  for (let second = 0; second < 65; second++) {
    progress.show(status)
    await clock.advance(1000)
  }
  expect(said.filter(([message]) => message === 'first object')).toEqual([
    ['first object', { connector: 'access-log', object: '/exports/a.gz', 'read it with': 'gzip -dc /exports/a.gz' }],
  ])
  const summaries = said.filter(([message]) => message === 'progress')
  expect(summaries).toHaveLength(2)
  expect(summaries[0]?.[1]).toMatchObject({ connector: 'access-log', recordsRead: 5, recordsOut: 5, state: 'RUNNING' })
})

it('facts that are bytes are shown in units, other numbers with their thousands, text as it is', () => {
  const facts = { 'slot lag bytes': 3_133_888, 'slot safe_wal_size': 53 << 20, rows: 601_004, slot: 'kts_shop' }
  expect(statusNotes(workerStatus([connectorStatus('shop', { facts })]))).toEqual([
    'shop slot lag bytes: 3.0 MiB',
    'shop slot safe_wal_size: 53.0 MiB',
    'shop rows: 601,004',
    'shop slot: kts_shop',
  ])
})

it('a terminal that was told no size has 80 columns', () => {
  expect([0, 132].map(columns => columnsOf({ columns }))).toEqual([80, 132])
})
