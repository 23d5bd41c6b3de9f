import { describe, expect, it } from 'vitest'
import { jsonLogger, terminalLogger } from '../../cli/log.ts'

function capture(make: typeof jsonLogger, level: 'debug' | 'warn' = 'debug') {
  const lines: string[] = []
  return { log: make(level, line => lines.push(line)), lines }
}

// Every C0 and C1 control but the newline that ends a line, and the marks that turn text around.
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
const RAW_CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

const ATTACK = 'GET /\u001b]0;owned\u0007\u009b2J\r\n{"level":"error","message":"forged"}\u202e'

describe.each([
  ['JSON', jsonLogger],
  ['terminal', terminalLogger],
] as const)('%s lines', (_name, make) => {
  it('stay one line each, without a control character, whatever is logged', () => {
    const { log, lines } = capture(make)
    log.child({ connector: ATTACK }).warn({ line: ATTACK, err: new Error(ATTACK) }, ATTACK)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^[^\n]+\n$/)
    expect(lines[0]).not.toMatch(RAW_CONTROL)
  })

  it('less important than asked for are left out', () => {
    const { log, lines } = capture(make, 'warn')
    log.info({}, 'no')
    log.warn({}, 'yes')
    expect(lines).toHaveLength(1)
  })
})

it('a JSON line carries time, level, message, fields and the fields of its parents', () => {
  const { log, lines } = capture(jsonLogger)
  log.child({ connector: 'a' }).child({ task: 1 }).info({ offset: 5 }, 'read')
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: 'info',
    message: 'read',
    connector: 'a',
    task: 1,
    offset: 5,
    time: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T.*Z$/),
  })
})

it('a terminal line names the cause', () => {
  const { log, lines } = capture(terminalLogger)
  log.error({ err: new Error('no such bucket'), task: 0 }, 'the task failed')
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d ERROR the task failed: no such bucket task=0\n$/)
})
