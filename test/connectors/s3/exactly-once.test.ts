import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { SeededRandom } from '../../../runtime/api/index.ts'
import { objectsIn } from '../../support/s3-sink.ts'
import { anyConfig, FOREVER, liveToTheEnd, livesUnder, numbersOf, someRecords } from './histories.ts'
import { type Given, KilledSink, type KillSwitch, type Life, type ModelRecord, type Place } from './killed-sink.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)
const RUNS = { seed: SEED, numRuns: 400 }

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

test('whenever it is killed, with or without the power, whatever the clock did and however it was configured anew: every record is in exactly one object', async () => {
  const histories = [someRecords, livesUnder(anyConfig), anyConfig, fc.boolean(), fc.boolean(), fc.nat()] as const
  await fc.assert(
    fc.asyncProperty(...histories, async (all, lives, last, packed, powerCuts, seed) => {
      const sink = new KilledSink(all, packed, new MemoryPlace(seed, powerCuts))
      await liveToTheEnd(sink, lives, last)
      expect(await sink.delivered()).toEqual(numbersOf(all, value => value === 'line'))
    }),
    RUNS,
  )
})

test('under one configuration refused records are refused again until that is committed, and folders keep their order', async () => {
  const failing = anyConfig.map((given): Given => ({ ...given, 'behavior.on.null.values': 'fail' }))
  const lives = failing.chain(given => fc.tuple(fc.constant(given), livesUnder(fc.constant(given))))
  await fc.assert(
    fc.asyncProperty(someRecords, lives, fc.nat(), async (all, [given, lives], seed) => {
      const place = new MemoryPlace(seed, true)
      const sink = new KilledSink(all, false, place)
      await liveToTheEnd(sink, lives, given)
      expect(await sink.delivered()).toEqual(numbersOf(all, value => value === 'line'))
      expect([...sink.letters].sort((a, b) => a - b)).toEqual(numbersOf(all, value => value !== 'line'))
      expectOrderInFolders(await place.objects())
    }),
    RUNS,
  )
})

test('the state stays small with as many folders as records, and with one that is open all the time', async () => {
  const all = Array.from({ length: 3000 }, (_, n): ModelRecord => ({ hour: n % 2 === 0 ? 0 : n, value: 'line' }))
  const sink = new KilledSink(all, true, new MemoryPlace(SEED, false))
  const given: Given = { 'partitioner.class': 'hourly', 'partitioner.max.open.files': 5, 'rotate.idle.ms': -1 }
  await liveToTheEnd(sink, [], { ...given, 'rotate.schedule.interval.ms': -1 })
  expect(await sink.delivered()).toHaveLength(3000)
  expect(sink.stateBytesMax).toBeLessThan(100_000)
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
