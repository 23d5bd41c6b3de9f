import { describe, expect, test } from 'vitest'
import { ManualClock } from '../../../base/index.ts'
import { RecordError, type Transform } from '../../../runtime/api/index.ts'
import type { TransformConfig } from '../../../runtime/config/types.ts'
import { configure, type GoldenCase, GoldenTransforms, toldOf } from './golden.ts'

const golden = GoldenTransforms.load('debezium')
const cases = golden?.cases.filter(one => one.class.endsWith('.ExtractNewRecordState')) ?? []

/** Java takes any option; here one that nobody reads is an error, told with what to write. */
const NOT_TAKEN: Readonly<Record<string, string>> = {
  'unknown.option': 'an option of transform io.debezium.transforms.ExtractNewRecordState',
  'delete.handling.mode': 'expected delete.tombstone.handling.mode: rewrite-with-tombstone',
  'drop.tombstones': 'delete.tombstone.handling.mode',
}

describe.skipIf(golden === undefined)('ExtractNewRecordState', () => {
  test('has all of its golden cases', () => expect(cases).toHaveLength(63))

  test.each(cases)('makes of records what Debezium 3.6.3 makes of them: $id $note', async one => {
    if (one.refused !== undefined) return refuses(one)
    const transform = open(await configureAsJava(one))
    const inputs = typeof one.input === 'number' ? [one.input] : one.input
    expect(one.results).toHaveLength(inputs.length)
    for (const [i, number] of inputs.entries()) check(transform, number, one.results[i]!)
  })
})

function check(transform: Transform, number: number, result: GoldenCase['results'][number]): void {
  const record = golden!.input(number)
  if ('error' in result) {
    expect(() => transform(record)).toThrow(RecordError)
    expect(() => transform(golden!.input(number))).toThrow(result.error.message)
    return
  }
  const output = transform(record)
  if (result.output === null) expect(output).toBeUndefined()
  else expect(toldOf(output!)).toEqual(golden!.expected(number, result.output === 'same' ? {} : result.output))
}

/** The configuration without the options that only Java takes, each of which we refuse. */
async function configureAsJava(one: GoldenCase): Promise<TransformConfig> {
  const taken = Object.entries(one.config).filter(([name]) => NOT_TAKEN[name] === undefined)
  if (taken.length < Object.keys(one.config).length) {
    const problems = await configure(one.class, one.config).then(String, String)
    const refused = Object.keys(one.config).filter(name => problems.includes(NOT_TAKEN[name] ?? name))
    expect(refused).toEqual(Object.keys(one.config))
  }
  return configure(one.class, Object.fromEntries(taken))
}

async function refuses({ class: name, config, validate, refused }: GoldenCase): Promise<void> {
  const problems = await configure(name, config).then(String, String)
  for (const [option, [message]] of Object.entries(validate ?? {})) {
    const values = message!.slice(message!.indexOf('one of ') + 'one of '.length)
    expect(problems).toContain(`.${option}: expected one of ${values}, got "${config[option]}"`)
  }
  const field = /^Unexpected field name: (.*)$/.exec(refused!.message)?.[1]
  if (field !== undefined) expect(problems).toContain(`not ${field}`)
}

function open({ transform, options }: TransformConfig): Transform {
  return transform.open(options as never, { clock: new ManualClock(0), count: () => undefined })
}
