import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { SeededRandom } from '../../../runtime/api/index.ts'
import { objectsIn } from '../../support/s3-sink.ts'
import { type Given, KilledSink, type KillSwitch, type Life, type ModelRecord, type Place } from './killed-sink.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)
const RUNS = Number(process.env.KTS_TEST_RUNS ?? 300)

/** Sees no kill. */
const FOREVER = Number.MAX_SAFE_INTEGER

/** A directory on a disk whose power is cut with the kill, or not. */
class MemoryPlace implements Place {
  readonly options: Given = { 'store.url': '/exports' }
  files: FaultyFiles
  readonly #powerCuts: boolean
  #memory: MemoryFiles

  constructor(seed: number, powerCuts: boolean) {
    this.#memory = new MemoryFiles(new SeededRandom(seed))
    this.#powerCuts = powerCuts
    this.files = new FaultyFiles(this.#memory)
  }

  begin(calls: KillSwitch): void {
    this.files = new FaultyFiles(this.#memory, () => calls.call(async () => {}))
  }

  async bury({ killAt }: Life): Promise<void> {
    if (this.#powerCuts && killAt !== FOREVER) this.#memory = this.#memory.powerCut()
  }

  objects() {
    return objectsIn(this.#memory)
  }
}

const record: fc.Arbitrary<ModelRecord> = fc.record({
  hour: fc.nat(2),
  value: fc.oneof(
    { weight: 12, arbitrary: fc.constant('line' as const) },
    { weight: 1, arbitrary: fc.constant('null' as const) },
    { weight: 1, arbitrary: fc.constant('bad' as const) },
  ),
})

const given: fc.Arbitrary<Given> = fc.record({
  'format.class': fc.constantFrom('text' as const, 'json' as const),
  'partitioner.class': fc.constantFrom('default' as const, 'hourly' as const, 'daily' as const),
  'topics.dir': fc.constantFrom('topics', 'elsewhere'),
  'flush.size': fc.constantFrom(-1, 1, 3, 10),
  'rotate.interval.ms': fc.constantFrom(-1, 3_600_000),
  'rotate.idle.ms': fc.constantFrom(-1, 300),
  'rotate.schedule.interval.ms': fc.constantFrom(-1, 500),
  'partitioner.max.open.files': fc.constantFrom(1, 2, 10),
  'behavior.on.null.values': fc.constantFrom('fail' as const, 'ignore' as const),
})

const life = (given: fc.Arbitrary<Given>): fc.Arbitrary<Life> =>
  fc.record({
    given,
    killAt: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 500 })),
    afterwards: fc.boolean(),
    seed: fc.nat(),
  })

const records = fc.array(record, { minLength: 1, maxLength: 60, size: 'max' })

async function deliverAll(sink: KilledSink, lives: readonly Life[], last: Given): Promise<void> {
  for (const one of lives) await sink.live(one)
  expect(await sink.live({ given: last, killAt: FOREVER, afterwards: false, seed: 1 })).toBe(true)
}

const linesOf = (all: readonly ModelRecord[]) => all.flatMap(({ value }, n) => (value === 'line' ? [n] : []))

test('whenever it is killed, with or without the power, whatever the clock did and however it was configured anew: every record is in exactly one object', async () => {
  await fc.assert(
    fc.asyncProperty(
      records,
      fc.array(life(given), { maxLength: 8, size: 'max' }),
      given,
      fc.boolean(),
      fc.boolean(),
      fc.nat(),
      async (all, lives, last, packed, powerCuts, seed) => {
        const sink = new KilledSink(all, packed, new MemoryPlace(seed, powerCuts))
        await deliverAll(sink, lives, last)
        expect(await sink.delivered()).toEqual(linesOf(all))
      },
    ),
    { seed: SEED, numRuns: RUNS },
  )
})

test('under one configuration refused records are refused again until that is committed, and folders keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(
      records,
      given.chain(g => fc.tuple(fc.constant(g), fc.array(life(fc.constant(g)), { maxLength: 8, size: 'max' }))),
      fc.nat(),
      async (all, [given, lives], seed) => {
        const failing: Given = { ...given, 'behavior.on.null.values': 'fail' }
        const place = new MemoryPlace(seed, true)
        const sink = new KilledSink(all, false, place)
        await deliverAll(
          sink,
          lives.map(one => ({ ...one, given: failing })),
          failing,
        )
        expect(await sink.delivered()).toEqual(linesOf(all))
        const refused = all.flatMap(({ value }, n) => (value === 'line' ? [] : [n]))
        expect([...sink.letters].sort((a, b) => a - b)).toEqual(refused)
        expectOrderInFolders(await place.objects())
      },
    ),
    { seed: SEED, numRuns: RUNS },
  )
})

function expectOrderInFolders(objects: ReadonlyMap<string, Buffer>): void {
  const newest = new Map<string, number>()
  for (const [key, bytes] of [...objects].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const folder = key.slice(0, key.lastIndexOf('/'))
    for (const [, n] of bytes.toString().matchAll(/n(\d+)/g)) {
      expect(Number(n), key).toBeGreaterThan(newest.get(folder) ?? -1)
      newest.set(folder, Number(n))
    }
  }
}
