import { beforeEach, describe, expect, test } from 'vitest'
import { ManualClock, packRecords, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker } from '../../broker/index.ts'
import { lines, NEVER, rejection, subscription, take, until, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const HOUR = 3_600_000
const CONFIGS = { 'retention.ms': String(HOUR), 'segment.bytes': '500' }
const SINK = { group: 'connect-s', topics: ['t'] }

describe('retention in the embedded engine', () => {
  let files: MemoryFiles
  let clock: ManualClock
  let broker: Broker
  const log = recordingLogger()
  beforeEach(async () => {
    clock = new ManualClock()
    files = new MemoryFiles(new SeededRandom(3), { clock })
    broker = await openAsNewProcess({ files, clock, log })
  })

  async function fill(configs: Readonly<Record<string, string>>): Promise<void> {
    await broker.ensureTopic({ name: 't', configs })
    for (let i = 0; i < 12; i++) await write(broker, 't', 0, lines(`${i}`.padEnd(200, '.')))
  }

  /** Lets the clock run, and housekeeping with it. */
  async function pass(ms: number): Promise<void> {
    for (let step = 0; step < 20; step++) await clock.advance(ms / 20)
  }

  const start = async () => (await broker.partition('t', 0)).logStartOffset

  test('deletes nothing before the sinks are named', async () => {
    await fill(CONFIGS)
    await pass(3 * HOUR)
    expect(await start()).toBe(0)
    await broker.holdFor([])
    await pass(HOUR)
    expect(await start()).toBeGreaterThan(0)
  })

  test('holds what a stopped sink has not committed,  and lets the rest go', async () => {
    await fill(CONFIGS)
    await broker.holdFor([SINK])
    await pass(5 * HOUR)
    expect(await start()).toBe(0)
    const reader = await broker.subscribe(subscription({ group: SINK.group }))
    await until(reader, 'assigned')
    expect(await take(reader, 12)).toHaveLength(12)
    const transaction = await (await broker.writer('w')).begin()
    transaction.offsets(reader.group, [{ topic: 't', partition: 0, offset: 7, metadata: '' }])
    await transaction.commit()
    await pass(HOUR)
    const left = await start()
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(7)
    expect((await broker.partition('t', 0)).highWatermark).toBeGreaterThanOrEqual(12)
    reader.seek('t', 0, 0)
    const error = await rejection(reader.poll(0, NEVER))
    expect(error).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', details: { offset: 0, logStartOffset: left } })
    expect(error.message).toContain(`records 0 to ${left - 1} are no longer in the log`)
  })

  test('waits for the slowest of several sinks, by name or by pattern', async () => {
    await fill(CONFIGS)
    const tool = (group: string) => ({ group, member: 'tool', generation: -1 })
    const transaction = await (await broker.writer('w')).begin()
    transaction.offsets(tool('fast'), [{ topic: 't', partition: 0, offset: 12, metadata: '' }])
    await transaction.commit()
    await broker.holdFor([
      { group: 'fast', topics: ['t'] },
      { group: 'slow', topics: [], topicsRegex: /t.*/ },
    ])
    await pass(3 * HOUR)
    expect(await start()).toBe(0)
    await broker.holdFor([
      { group: 'fast', topics: ['t'] },
      { group: 'slow', topics: [], topicsRegex: /u.*/ },
    ])
    await pass(HOUR)
    expect(await start()).toBeGreaterThan(0)
  })

  test('deletes the unconsumed only where the topic says so, and says what', async () => {
    await fill({ ...CONFIGS, 'retention.unconsumed': 'delete' })
    await broker.holdFor([SINK])
    await pass(3 * HOUR)
    expect(await start()).toBeGreaterThan(0)
    const lost = log.lines.find(l => l.level === 'error' && /has not committed/.test(l.message))
    expect(lost!.fields).toMatchObject({ partition: 't-0', from: 0, to: await start(), groups: ['connect-s'] })
  })

  test('deletes nothing early when the clock is set a day back or ten years on', async () => {
    await fill(CONFIGS)
    await broker.holdFor([])
    clock.jump(clock.now() - 24 * HOUR)
    await pass(HOUR / 2)
    expect(await start()).toBe(0)
    clock.jump(clock.now() + 24 * HOUR + 87_600 * HOUR)
    await pass(HOUR / 10)
    expect(await start()).toBe(0)
  })

  test('deletes nothing early when it is started again under a clock ten years on', async () => {
    await fill(CONFIGS)
    await broker.close()
    clock.jump(clock.now() + 87_600 * HOUR)
    broker = await openAsNewProcess({ files, clock })
    await broker.holdFor([])
    await pass(HOUR / 10)
    expect(await start()).toBe(0)
  })

  test('an idle topic becomes empty: its last segment goes as well', async () => {
    await fill({ ...CONFIGS, 'segment.bytes': '1000000' })
    await broker.holdFor([])
    await pass(3 * HOUR)
    const { logStartOffset, highWatermark, bytes } = await broker.partition('t', 0)
    expect({ logStartOffset, bytes }).toEqual({ logStartOffset: highWatermark, bytes: 0 })
    await write(broker, 't', 0, lines('more'))
    expect((await broker.partition('t', 0)).logStartOffset).toBe(highWatermark)
  })

  test('keeps records of long ago that arrived just now', async () => {
    await broker.ensureTopic({ name: 't', configs: { ...CONFIGS, 'segment.ms': String(1000 * HOUR) } })
    await broker.holdFor([])

    for (let i = 0; i < 12; i++)
      await write(broker, 't', 0, packRecords([{ value: '.'.repeat(200), timestamp: 1000 + i }]))
    await pass(HOUR / 2)
    expect(await start()).toBe(0)
    await pass(HOUR)
    expect(await start()).toBeGreaterThan(0)
  })

  test('by size keeps the newest, and survives a restart', async () => {
    await fill({ 'retention.bytes': '1000', 'retention.ms': '-1', 'segment.bytes': '500' })
    await broker.holdFor([])
    await pass(10_000)
    const left = await start()
    expect(left).toBeGreaterThan(0)
    expect((await broker.partition('t', 0)).bytes).toBeGreaterThanOrEqual(1000)
    await broker.close()
    broker = await openAsNewProcess({ files, clock })
    expect(await start()).toBe(left)
  })
})
