import { expect, test } from 'vitest'
import { ManualClock, nodeFiles, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import type { SourceConfig } from '../../runtime/config/types.ts'
import { cutAtBoundaries } from '../../runtime/transaction-boundary.ts'
import { Worker } from '../../runtime/worker.ts'
import { readAll, valuesOf } from '../support/broker-drivers.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { type ScriptedPoll, scriptedSource } from '../support/runtime-connectors.ts'
import { noteTransactions } from '../support/transaction-log.ts'
import { sourceConfig, workerConfig } from '../support/worker-config.ts'

const batch = (name: string, ends?: 'commit' | 'abort' | 'inside') => ({
  name,
  checkpoints: ends === 'inside' ? [] : [{ partition: {}, position: {} }],
  transaction: ends === 'inside' ? undefined : ends,
})
const cuts = (batches: ReturnType<typeof batch>[], boundary: 'poll' | 'interval' | 'connector', due = true) =>
  cutAtBoundaries(batches, boundary, due).map(cut => `${cut.batches.map(b => b.name).join('')} ${cut.end ?? 'open'}`)

test('poll commits up to where the source may resume, and keeps the rest of an upstream transaction together', () => {
  expect(cuts([batch('a'), batch('b')], 'poll')).toEqual(['ab commit'])
  expect(cuts([batch('a'), batch('b', 'inside')], 'poll')).toEqual(['a commit', 'b open'])
  expect(cuts([batch('a', 'inside'), batch('b')], 'poll')).toEqual(['ab commit'])
  expect(cuts([batch('a', 'inside')], 'poll')).toEqual(['a open'])
})

test('interval does so once a commit is due, and until then commits nothing', () => {
  expect(cuts([batch('a'), batch('b', 'inside')], 'interval')).toEqual(['a commit', 'b open'])
  expect(cuts([batch('a'), batch('b')], 'interval', false)).toEqual(['ab open'])
})

test('connector ends transactions where it says: those that commit in a row as one, those that abort alone', () => {
  expect(cuts([batch('a'), batch('b')], 'connector')).toEqual(['ab open'])
  expect(cuts([batch('a', 'commit'), batch('b'), batch('c', 'commit'), batch('d')], 'connector')).toEqual([
    'abc commit',
    'd open',
  ])
  const mixed = [batch('a', 'commit'), batch('b'), batch('c', 'abort'), batch('d', 'abort'), batch('e', 'commit')]
  expect(cuts(mixed, 'connector')).toEqual(['a commit', 'bc abort', 'd abort', 'e commit'])
})

/** Runs a script to its end and answers what a reader sees, what the source was told, and how the transactions went. */
async function run(script: readonly ScriptedPoll[], common: Partial<SourceConfig['common']>, clock = systemClock) {
  const broker = new MemoryBroker({ clock })
  const events: string[] = []
  const noted = noteTransactions(broker, (writer, event) => {
    if (writer === 'test-scripted-0') events.push(event)
  })
  const source = scriptedSource('t', script)
  const environment = { broker: noted, clock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector, {}, common)], []), environment)
  await worker.finished
  const { counters } = (await worker.status()).connectors[0]!
  const values = valuesOf(await readAll(broker, 't', 0))
  // The first transaction is that of the task count.
  return { broker, values, events: events.slice(2), counters, committed: source.committed }
}

/** Enough of them for everything that waits for no clock. */
async function turns(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise(resolve => setImmediate(resolve))
}

const CONNECTOR = { 'transaction.boundary': 'connector' } as const

test('records of a transaction that the connector aborts are gone, their positions stand, and they are counted', async () => {
  const script: ScriptedPoll[] = [
    { values: ['a'], transaction: 'commit' },
    { values: ['b'] },
    { values: ['c'], transaction: 'abort' },
    { values: ['d'], transaction: 'commit' },
  ]
  const { broker, values, committed, counters } = await run(script, CONNECTOR)
  expect(values).toEqual(['a', 'd'])
  expect(committed).toEqual([1, 2, 3, 4])
  expect(await broker.checkpoints('scripted')).toMatchObject([{ value: { next: 4 } }])
  expect(counters).toMatchObject({ recordsRead: 4, recordsLogged: 2, recordsAborted: 2, recordsInFlight: 0 })
})

test('positions of an aborted transaction are committed at once, before anything follows', async () => {
  const { broker, values } = await run([{ values: ['a'], transaction: 'abort' }], CONNECTOR)
  expect(values).toEqual([])
  expect(await broker.checkpoints('scripted')).toMatchObject([{ value: { next: 1 } }])
})

test('a transaction that the connector never ends is aborted at the end, and its records are abandoned', async () => {
  const script: ScriptedPoll[] = [{ values: ['a'], transaction: 'commit' }, { values: ['b', 'c'] }]
  const { broker, values, counters } = await run(script, CONNECTOR)
  expect(values).toEqual(['a'])
  expect(await broker.checkpoints('scripted')).toMatchObject([{ value: { next: 1 } }])
  expect(counters).toMatchObject({ recordsLogged: 1, recordsAbandoned: 2, recordsInFlight: 0 })
})

test('where the connector does not define transactions, what it says of them is not looked at', async () => {
  const { values } = await run([{ values: ['a'] }, { values: ['b'], transaction: 'abort' }], {})
  expect(values).toEqual(['a', 'b'])
})

test('an interval gathers polls into one transaction and commits the last one at the end', async () => {
  const script = Array.from({ length: 20 }, (_, i) => ({ values: [String(i)] }))
  const common = { 'transaction.boundary': 'interval', 'transaction.boundary.interval.ms': 60_000 } as const
  const { values, events } = await run(script, common)
  expect(values).toHaveLength(20)
  expect(events.filter(e => e === 'commit')).toHaveLength(1)
})

test('an interval commits when it is over although nothing more is polled', async () => {
  const clock = new ManualClock()
  const broker = new MemoryBroker({ clock })
  let go = () => {}
  const quiet = new Promise<void>(resolve => (go = resolve))
  const source = scriptedSource('t', [{ values: ['a'] }, { values: ['b'] }], poll => (poll === 2 ? quiet : undefined))
  const common = { 'transaction.boundary': 'interval', 'transaction.boundary.interval.ms': 5000 } as const
  const environment = { broker, clock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector, {}, common)], []), environment)
  await turns()
  clock.advance(4999)
  await turns()
  expect(valuesOf(await readAll(broker, 't', 0))).toEqual([])
  clock.advance(1)
  await turns()
  expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['a', 'b'])
  expect(source.committed).toEqual([1, 2])
  go()
  await worker.finished
})

test('an interval whose timer rings too soon, as those of Node may, commits all the same, and goes on', async () => {
  const clock = new ManualClock()
  const timer = clock.timer.bind(clock)
  clock.timer = (ms, wake) => timer(ms > 1 ? ms - 1 : ms, wake)
  const broker = new MemoryBroker({ clock })
  const goes: (() => void)[] = []
  const wait = () => new Promise<void>(resolve => goes.push(resolve))
  const source = scriptedSource('t', [{ values: ['a'] }, { values: ['b'] }], poll => (poll > 0 ? wait() : undefined))
  const common = { 'transaction.boundary': 'interval', 'transaction.boundary.interval.ms': 5000 } as const
  const environment = { broker, clock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector, {}, common)], []), environment)
  for (const [i, values] of [['a'], ['a', 'b']].entries()) {
    for (let ms = 0; ms < 5010; ms++) await clock.advance(1)
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(values)
    goes[i]!()
    await turns()
  }
  await worker.finished
})

test('while a source has more at hand its polls are committed in lots, the first one and the last one at once', async () => {
  const script = Array.from({ length: 20 }, (_, i) => ({ values: [String(i)], more: i < 19 }))
  const source = scriptedSource('t', script, turns)
  // The clock stands still: nothing is committed because time passes.
  const broker = new MemoryBroker({ clock: new ManualClock() })
  const told: number[][] = []
  const { open } = source.connector
  source.connector.open = async (...args) => {
    const task = await open(...args)
    return { ...task, committed: checkpoints => void told.push(checkpoints.map(c => Number(c.position?.next))) }
  }
  const environment = {
    broker,
    clock: new ManualClock(),
    random: new SeededRandom(1),
    files: nodeFiles,
    log: silentLogger,
  }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector, {}, {})], []), environment)
  await worker.finished
  expect(valuesOf(await readAll(broker, 't', 0))).toHaveLength(20)
  expect(told).toEqual([[1], Array.from({ length: 19 }, (_, i) => i + 2)])
})

test('a lot is committed when half of the buffer is full, and when it has waited', async () => {
  // 4 MB through a buffer of one: whole buffers would be six commits at the most.
  const large = Array.from({ length: 40 }, () => ({ values: ['x'.repeat(100_000)], more: true }))
  const { events } = await run([...large, { values: ['z'] }], {}, new ManualClock())
  expect(events.filter(e => e === 'commit').length).toBeGreaterThan(6)

  const clock = new ManualClock()
  const broker = new MemoryBroker({ clock })
  let go = () => {}
  const quiet = new Promise<void>(resolve => (go = resolve))
  const script = [{ values: ['a'] }, { values: ['b'], more: true }]
  const source = scriptedSource('t', script, poll => (poll === 2 ? quiet : undefined))
  const environment = { broker, clock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector, {}, {})], []), environment)
  await clock.advance(0)
  await turns()
  await clock.advance(1000)
  await turns()
  expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['a', 'b'])
  expect(source.committed).toEqual([1, 2])
  go()
  await worker.finished
})

test.each([
  ['one by one', turns],
  ['while a commit runs', () => undefined],
])('a lot is not held back by an upstream transaction that begins behind it, polled %s', async (_, between) => {
  const clock = new ManualClock()
  const broker = new MemoryBroker({ clock })
  let go = () => {}
  const quiet = new Promise<void>(resolve => (go = resolve))
  const inside = { values: ['c'], inside: true }
  const script = [{ values: ['a'] }, { values: ['b'], more: true }, inside, inside]
  const source = scriptedSource('t', script, poll => (poll === 4 ? quiet : between()))
  const environment = { broker, clock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector, {}, {})], []), environment)
  for (let i = 0; i < 6; i++) await turns()
  expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['a', 'b'])
  expect(source.committed).toEqual([1, 2])
  go()
  await worker.finished
})

test('an interval does not outgrow the buffer: it commits sooner', async () => {
  const script = Array.from({ length: 30 }, () => ({ values: ['x'.repeat(100_000)] }))
  const common = { 'transaction.boundary': 'interval', 'transaction.boundary.interval.ms': 60_000 } as const
  const { values, events } = await run(script, common)
  expect(values).toHaveLength(30)
  expect(events.filter(e => e === 'commit').length).toBeGreaterThan(2)
})

test('an upstream transaction larger than the buffer is one transaction, and polling never waits for its commit', async () => {
  const inside = Array.from({ length: 40 }, () => ({ values: ['x'.repeat(100_000)], inside: true }))
  const { values, events, counters } = await run([{ values: ['a'] }, ...inside, { values: ['z'] }], {})
  expect(values).toHaveLength(42)
  expect(events.filter(e => e === 'commit').length).toBeLessThanOrEqual(2)
  expect(counters).toMatchObject({ recordsRead: 42, recordsLogged: 42, recordsInFlight: 0 })
})
