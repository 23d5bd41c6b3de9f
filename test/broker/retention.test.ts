import { describe, expect, test } from 'vitest'
import { ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { decideRetention, type RetentionPolicy, type RetentionSegment } from '../../broker/retention.ts'
import { RetentionClock } from '../../broker/retention-clock.ts'

const DAY = 86_400_000
const NOW = 1_700_000_000_000
const WEEK: RetentionPolicy = { deletes: true, retentionMs: 7 * DAY, retentionBytes: -1, retentionUnconsumed: 'hold' }

/** Ten records and 1000 bytes each, oldest first, one day apart, the last of them today. */
function days(count: number): RetentionSegment[] {
  return Array.from({ length: count }, (_, i) => {
    const time = NOW - (count - 1 - i) * DAY
    return { baseOffset: i * 10, nextOffset: i * 10 + 10, sizeBytes: 1000, timestampMax: time, appendedAt: time }
  })
}

describe('retention', () => {
  test('by time removes what is older, oldest first', () => {
    // Ages 9 to 0 days: 9 and 8 go.
    expect(decideRetention(days(10), WEEK, Number.POSITIVE_INFINITY, NOW)).toEqual({
      deleteBefore: 20,
      unconsumed: undefined,
      rollFirst: false,
    })
  })

  test('by size keeps at least what was asked for', () => {
    const policy: RetentionPolicy = { ...WEEK, retentionMs: -1, retentionBytes: 3500 }
    expect(decideRetention(days(10), policy, Number.POSITIVE_INFINITY, NOW).deleteBefore).toBe(60)
  })

  test('without limits removes nothing', () => {
    const policy: RetentionPolicy = { ...WEEK, retentionMs: -1 }
    expect(decideRetention(days(100), policy, Number.POSITIVE_INFINITY, NOW).deleteBefore).toBe(0)
  })

  test('stops at the first segment a consumer has not committed whole', () => {
    expect(decideRetention(days(10), WEEK, 15, NOW).deleteBefore).toBe(10)
    expect(decideRetention(days(10), WEEK, 0, NOW)).toMatchObject({ deleteBefore: 0, unconsumed: undefined })
  })

  test('that may delete the unconsumed says which', () => {
    const policy: RetentionPolicy = { ...WEEK, retentionUnconsumed: 'delete' }
    expect(decideRetention(days(10), policy, 15, NOW)).toMatchObject({
      deleteBefore: 20,
      unconsumed: { from: 15, to: 20 },
    })
    expect(decideRetention(days(10), policy, 20, NOW).unconsumed).toBeUndefined()
  })

  test('keeps old records that arrived today', () => {
    const arrived = days(10).map(s => ({ ...s, appendedAt: NOW }))
    expect(decideRetention(arrived, WEEK, Number.POSITIVE_INFINITY, NOW).deleteBefore).toBe(0)
  })

  test('takes the last segment by age once another can take the appends, and never by size', () => {
    const later = NOW + 1000 * DAY
    expect(decideRetention(days(3), WEEK, Number.POSITIVE_INFINITY, later)).toMatchObject({
      deleteBefore: 30,
      rollFirst: true,
    })
    const empty = days(3).map((s, i) => (i < 2 ? s : { ...s, nextOffset: 20, sizeBytes: 0 }))
    expect(decideRetention(empty, WEEK, Number.POSITIVE_INFINITY, later)).toMatchObject({
      deleteBefore: 20,
      rollFirst: false,
    })
    const small: RetentionPolicy = { ...WEEK, retentionMs: -1, retentionBytes: 0 }
    expect(decideRetention(days(3), small, Number.POSITIVE_INFINITY, NOW)).toMatchObject({
      deleteBefore: 20,
      rollFirst: false,
    })
    expect(decideRetention([], WEEK, Number.POSITIVE_INFINITY, NOW)).toMatchObject({
      deleteBefore: 0,
      unconsumed: undefined,
    })
  })

  test('is not for a topic that is only compacted', () => {
    const policy: RetentionPolicy = { ...WEEK, deletes: false, retentionBytes: 0 }
    expect(decideRetention(days(10), policy, Number.POSITIVE_INFINITY, NOW).deleteBefore).toBe(0)
  })

  test('a clock a day back deletes nothing early', () => {
    expect(decideRetention(days(8), WEEK, Number.POSITIVE_INFINITY, NOW - DAY).deleteBefore).toBe(0)
  })
})

describe('the time of retention', () => {
  test('follows the clock as it goes', async () => {
    const clock = new ManualClock(NOW)
    const time = new RetentionClock(clock)
    for (let i = 0; i < 10; i++) {
      await clock.advance(12_345)
      expect(time.now()).toBe(clock.now())
    }
  })

  test('does not believe a jump of ten years, and goes back at once', async () => {
    const clock = new ManualClock(NOW)
    const time = new RetentionClock(clock)
    clock.jump(NOW + 3650 * DAY)
    await clock.advance(DAY)
    expect(time.now()).toBe(NOW + 2 * DAY)
    clock.jump(NOW - DAY)
    expect(time.now()).toBe(NOW - DAY)
  })

  test('catches up after a suspended night', async () => {
    const clock = new ManualClock(NOW)
    const time = new RetentionClock(clock)
    clock.jump(NOW + DAY / 2)
    await clock.advance(DAY)
    expect(time.now()).toBe(clock.now())
  })

  test('does not believe the jump after a restart either', async () => {
    const clock = new ManualClock(NOW)
    const files = new MemoryFiles(new SeededRandom(1), { clock })
    const first = await RetentionClock.open(clock, files, '/retention-clock')
    expect(first.now()).toBe(NOW)
    await first.save(files, '/retention-clock')
    clock.jump(NOW + 3650 * DAY)
    const second = await RetentionClock.open(clock, files, '/retention-clock')
    expect(second.now()).toBe(NOW)
    await second.save(files, '/retention-clock')
    expect((await RetentionClock.open(clock, files, '/retention-clock')).now()).toBe(NOW)
  })
})
