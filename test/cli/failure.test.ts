import { expect, it } from 'vitest'
import { KtsError } from '../../base/index.ts'
import { exitCodeOf, failureLines, Reported, UsageError } from '../../cli/failure.ts'
import { ConfigError } from '../../runtime/index.ts'

const PROBLEMS = new ConfigError([
  {
    place: { file: '/p.yaml', line: 3, column: 5 },
    path: 'sinks.a.topik',
    message: 'unknown option (did you mean topics?)',
  },
  { place: { file: '/p.yaml', line: 9, column: 1 }, path: '', message: 'a tab: indent with spaces' },
])

it('configuration problems are one line each, with their places first', () => {
  expect(failureLines(PROBLEMS, true)).toEqual([
    '/p.yaml:3:5 sinks.a.topik: unknown option (did you mean topics?)',
    '/p.yaml:9:1 a tab: indent with spaces',
  ])
})

it('the stack is shown only when asked for', () => {
  const error = new Error('broken')
  expect(failureLines(error, false)).toEqual(['kts-connect: broken'])
  expect(failureLines(error, true)[1]).toContain('failure.test.ts')
})

it('what the system says comes with a remedy', () => {
  const error = Object.assign(new Error("EACCES: permission denied, open '/var/log/x'"), { code: 'EACCES' })
  expect(failureLines(error, false)[0]).toMatch(/\/var\/log\/x.*; check owner and permissions/)
})

it('a message cannot write to the terminal', () => {
  expect(failureLines(new Error('a\u001b[2Jb\nc'), false)).toEqual(['kts-connect: a\\u001b[2Jb\n  c'])
})

it.each([
  [new Error('x'), 1],
  [new KtsError('DATA_DIR_IN_USE', 'x'), 1],
  [new KtsError('CONFIG_INVALID', 'x'), 2],
  [PROBLEMS, 2],
  [new UsageError('x'), 2],
  [new Reported(1), 1],
])('exit code of %s is %i', (error, code) => expect(exitCodeOf(error)).toBe(code))
