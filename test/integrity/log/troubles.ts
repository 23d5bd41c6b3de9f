import type { Fault, FaultyFiles } from '../../../base/faulty-files.ts'
import { errorMessage, type ManualClock } from '../../../base/index.ts'
import { addActivity, type Activity, Lives, noActivity } from './lives.ts'
import { type Part, pointsOf, type Size, Tally } from './part.ts'

const TRANSACTIONS = 8
const DAY = 86_400_000

/** L6: an fsync that fails takes what it was to make durable with it, and a power cut behind it shows who believed it. */
export const failedSyncs: Part = {
  name: 'failed-fsync',
  doc: 'L6: EIO from each fdatasync and directory sync in turn, then a power cut',
  async run(size) {
    const activity = noActivity()
    const tally = new Tally(this.name, size)
    for (const call of ['datasync', 'syncDirectory'] as const) {
      for (const times of [1, Number.POSITIVE_INFINITY])
        await each(size, tally, activity, nth => ({ call, nth, times, error: 'EIO' }), 'dies')
    }
    return tally.report(activity, { commits: 20 })
  },
}

/** L7: what a full, read-only or busy disk refuses is not acknowledged, and the log goes on once it takes writes again. */
export const fullDisks: Part = {
  name: 'full-disk',
  doc: 'L7: ENOSPC, EDQUOT and EMFILE with short writes, then room again without a restart; EROFS and EIO, then a restart',
  async run(size) {
    const activity = noActivity()
    const tally = new Tally(this.name, size)
    const full = (error: string, partialBytes: number) => (nth: number) =>
      ({ call: 'write', nth, times: 3, error, partialBytes, path: isLog }) as const
    await each(size, tally, activity, full('ENOSPC', 0), 'goes on')
    await each(size, tally, activity, full('ENOSPC', 70), 'goes on')
    await each(size, tally, activity, full('EDQUOT', 300), 'goes on')
    await each(size, tally, activity, nth => ({ call: 'open', nth, times: 2, error: 'EMFILE' }), 'dies')
    for (const error of ['EROFS', 'EIO']) {
      await each(
        size,
        tally,
        activity,
        nth => ({ call: 'write', nth, times: Infinity, error, partialBytes: 5 }),
        'dies',
      )
    }
    return tally.report(activity, { commits: 50, rolls: 20 })
  },
}

function isLog(path: string): boolean {
  return path.endsWith('.log')
}

/** Sets the fault for the first, second, ... call of its kind until it is no longer met. */
async function each(
  size: Size,
  tally: Tally,
  activity: Activity,
  faultAt: (nth: number) => Fault,
  then: 'goes on' | 'dies',
): Promise<void> {
  for (const nth of pointsOf(size, Number.POSITIVE_INFINITY)) {
    const lives = new Lives(size.seed)
    let set: FaultyFiles | undefined
    const fault = faultAt(nth)
    const trouble = (files: FaultyFiles) => {
      set = files
      files.fail(fault)
    }
    const plan = { end: 'power cut', at: Number.POSITIVE_INFINITY, transactions: TRANSACTIONS, patience: 12 } as const
    const { failure } = await lives.live({ ...plan, trouble })
    const problems = await lives.audit()
    if (then === 'goes on' && failure !== undefined) problems.push(`did not go on by itself: ${errorMessage(failure)}`)
    // What is left works on.
    const after = await lives.live({ ...plan, transactions: 2 })
    if (after.failure !== undefined) problems.push(`does not work afterwards: ${errorMessage(after.failure)}`)
    problems.push(...(await lives.audit()).map(p => `and later: ${p}`))
    tally.add(`--seed ${size.seed} --point ${nth} # ${fault.call} ${fault.error} ${fault.times}`, problems)
    addActivity(activity, lives.activity)
    if (nth > set!.count(fault.call)) return
  }
}

/** L9: a wall clock that jumps deletes nothing early and disturbs no order. */
export const clockJumps: Part = {
  name: 'clock',
  doc: 'L9: the wall clock jumps a day back or ten years on, at work and between two starts',
  async run(size) {
    const activity = noActivity()
    const tally = new Tally(this.name, size)
    for (const jump of [-DAY, 3652 * DAY]) {
      for (let seed = size.seed; seed < size.seed + Math.max(3, 40 / size.stride); seed++) {
        const lives = new Lives(seed)
        const plan = { end: 'kill', at: Number.POSITIVE_INFINITY, transactions: TRANSACTIONS } as const
        await lives.live(plan)
        const problems = await lives.audit()
        lives.clock.jump(lives.clock.now() + jump)
        await lives.live({ ...plan, trouble: (_, clock: ManualClock) => clock.jump(clock.now() + jump) })
        problems.push(...(await lives.audit()).map(p => `behind the jump: ${p}`))
        lives.clock.jump(lives.clock.now() - 2 * jump)
        await lives.live(plan)
        problems.push(...(await lives.audit()).map(p => `and back: ${p}`))
        tally.add(`--seed ${seed} # by ${jump} ms`, problems)
        addActivity(activity, lives.activity)
      }
    }
    return tally.report(activity, { commits: 50, rolls: 10 })
  },
}
