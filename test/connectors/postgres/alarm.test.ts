import { expect, test } from 'vitest'
import { type Clock, ManualClock, SeededRandom } from '../../../base/index.ts'
import { Alarm } from '../../../connectors/postgres/alarm.ts'

function alarm() {
  const clock = new ManualClock()
  const rung: number[] = []
  return { clock, rung, alarm: new Alarm(clock, () => rung.push(clock.monotonic())) }
}

test('rings once, at the time that was set last, sooner or later than one before', async () => {
  const { clock, rung, alarm: it } = alarm()
  it.set(100)
  await clock.advance(50)
  it.set(100)
  await clock.advance(99)
  expect(rung).toEqual([])
  await clock.advance(1)
  expect(rung).toEqual([150])
  it.set(500)
  it.set(10)
  await clock.advance(1000)
  expect(rung).toEqual([150, 160])
})

test('is silent until it is set again, and for good once it was cancelled', async () => {
  const { clock, rung, alarm: it } = alarm()
  it.set(10)
  it.silence()
  await clock.advance(100)
  it.set(10)
  it.cancel()
  await clock.advance(100)
  expect(rung).toEqual([])
})

test('needs a timer only once in a while, however often it is set', async () => {
  const { clock, rung, alarm: it } = alarm()
  let timers = 0
  const timer = clock.timer.bind(clock)
  clock.timer = (ms, wake) => {
    timers++
    return timer(ms, wake)
  }
  for (let i = 0; i < 1000; i++) {
    it.set(100)
    await clock.advance(1)
  }
  expect(rung).toEqual([])
  expect(timers).toBeLessThan(15)
  await clock.advance(99)
  expect(rung).toEqual([1099])
})

test('rings when a timer for each time would, also where timers ring too soon', async () => {
  const random = new SeededRandom(5)
  const upTo = (n: number) => Math.floor(random.next() * n)
  for (let round = 0; round < 200; round++) {
    const manual = new ManualClock()
    const early = round % 2
    const clock: Clock = {
      now: () => manual.now(),
      monotonic: () => manual.monotonic(),
      timer: (ms, wake) => manual.timer(ms > 2 ? ms - early : ms, wake),
    }
    const rung: number[] = []
    const expected: number[] = []
    const it = new Alarm(clock, () => rung.push(manual.monotonic()))
    let timer: { cancel(): void } | undefined
    for (let i = 0; i < 50; i++) {
      const what = upTo(8)
      if (what < 4) {
        const ms = upTo(30)
        timer?.cancel()
        timer = manual.timer(ms, () => expected.push(manual.monotonic()))
        it.set(ms)
      } else if (what === 4) {
        timer?.cancel()
        it.silence()
      } else await manual.advance(upTo(25))
    }
    await manual.advance(100)
    expect(rung).toEqual(expected)
  }
})
