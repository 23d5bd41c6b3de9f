import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseJson, SeededRandom, stringifyJson } from '../../../base/index.ts'
import { compareEvents, digestsOf } from '../../support/golden-compare.ts'
import { type ChangeEvent, loadGoldenRun, scriptPhases, stableEvent } from '../../support/golden-events.ts'
import { sharedData } from '../../support/shared-data.ts'

const golden = sharedData('debezium-golden')

describe.skipIf(golden === undefined)('the comparison with the real Debezium', () => {
  const names = golden === undefined ? [] : readdirSync(golden).filter(name => name.startsWith('pg15-'))
  const stable = (name: string) => loadGoldenRun(golden!, name).events.map(event => stableEvent(event, 'golden'))

  test.each(names)('%s is equal to itself, and not to itself with any one thing changed', name => {
    const events = stable(name)
    expect(compareEvents(events, events)).toEqual([])
    const random = new SeededRandom(events.length)
    for (let i = 0; i < 50; i++) {
      const at = Math.floor(random.next() * events.length)
      const changed = events.with(at, mutated(events[at]!, random.next()))
      expect(compareEvents(events, changed), `event ${at}`).not.toEqual([])
    }
    expect(compareEvents(events, events.slice(1))).not.toEqual([])
  })

  test.each(['pg15-chinook', 'pg15-northwind'])('digests of %s are computed as its makers did', name => {
    const run = loadGoldenRun(golden!, name)
    const ours = new Map(digestsOf(run.events).map(digest => [`${digest.phase} ${digest.topic}`, digest]))
    // Larger groups are in the data as samples.
    const whole = run.digests.filter(digest => digest.count <= 25)
    expect(whole.length).toBeGreaterThan(10)
    for (const digest of whole) expect(ours.get(`${digest.phase} ${digest.topic}`)).toEqual(digest)
  })
})

test('a difference is told with its topic, event and member, and both values', () => {
  const event = (value: string): ChangeEvent => ({
    topic: 'p.t',
    phase: 'updates',
    headers: [],
    keySchema: null,
    key: null,
    valueSchema: null,
    value: parseJson(value),
  })
  const difference = (a: string, b: string) => compareEvents([event(a)], [event(b)])
  const place = 'p.t event 0 (updates, u) value'
  expect(difference('{"op":"u","a":{"b":[1,2]}}', '{"op":"u","a":{"b":[1,3]}}')).toEqual([
    `${place}.a.b[1]: expected 2, got 3`,
  ])
  expect(difference('{"op":"u","a":1}', '{"a":1,"op":"u"}')).toEqual([`${place}: expected members op,a, got a,op`])
  expect(difference('{"op":"u","a":1.5E18}', '{"op":"u","a":1500000000000000000}')).toEqual([])
  expect(difference('{"op":"u","a":9007199254740993}', '{"op":"u","a":9007199254740992}')).toHaveLength(1)
  expect(compareEvents([], [event('{"op":"u"}'), event('null')])).toEqual(['p.t: expected 0 () events, got 2 (u0)'])
})

test('a script falls into its phases', () => {
  expect(scriptPhases('-- PHASE: a b\nSELECT 1;\n-- PHASE: c\nSELECT 2;\n-- PHASE: end\n')).toEqual([
    { name: 'a b', sql: '\nSELECT 1;\n' },
    { name: 'c', sql: '\nSELECT 2;\n' },
  ])
})

/** The event with one text or number of its key, value or schemas changed. */
function mutated(event: ChangeEvent, choice: number): ChangeEvent {
  const parts = ['key', 'value', 'keySchema', 'valueSchema', 'headers'] as const
  const part = parts.filter(name => stringifyJson(event[name]).length > 4)
  const chosen = part[Math.floor(choice * part.length)]
  if (chosen === undefined) return { ...event, value: 'no tombstone' }
  const text = stringifyJson(event[chosen])
  const at = 1 + text.slice(1).search(/[a-z]/)
  const other = text[at] === 'x' ? 'y' : 'x'
  const changed = text.slice(0, at) + other + text.slice(at + 1)
  return at === 0 ? { ...event, topic: `${event.topic}x` } : { ...event, [chosen]: parseOr(changed) }
}

function parseOr(text: string) {
  try {
    return parseJson(text)
  } catch {
    return text
  }
}
