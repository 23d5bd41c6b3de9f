import type { FaultyFiles } from '../../../base/faulty-files.ts'
import { type Random, randomInt, SeededRandom } from '../../../base/index.ts'
import { addActivity, type End, type LifePlan, Lives, noActivity } from './lives.ts'
import { type Part, pointsOf, Tally } from './part.ts'

const LIVES = 3
const TRANSACTIONS = 8

/** L2: seeded histories of several lives on a disk in memory, most of which end by a power cut. */
export const powerCuts: Part = {
  name: 'power-cut',
  doc: 'L2: power cuts that drop, reorder and tear what was not synced, on a disk in memory',
  async run(size) {
    const tally = new Tally(this.name, size)
    const activity = noActivity()
    for (let seed = size.seed; seed < size.seed + size.seeds; seed++) {
      const { problems, lives } = await history(seed)
      tally.add(`--seed ${seed} --seeds 1`, problems)
      addActivity(activity, lives.activity)
    }
    const n = size.seeds
    // The replay of a few proves what it replays.
    if (n < 50) return tally.report(activity)
    return tally.report(activity, {
      commits: n * 5,
      aborts: n,
      rolls: n * 3,
      deletions: n / 10,
      deletes: n / 4,
      compactions: n / 4,
      undecided: n / 4,
    })
  },
}

async function history(seed: number): Promise<{ problems: string[]; lives: Lives }> {
  const lives = new Lives(seed)
  const random = new SeededRandom(seed * 7919 + 1)
  const problems: string[] = []
  for (let life = 1; life <= LIVES && problems.length === 0; life++) {
    const end: End = random.next() < 0.7 ? 'power cut' : random.next() < 0.7 ? 'kill' : 'close'
    const at = end === 'close' ? Number.POSITIVE_INFINITY : 1 + randomInt(random, life === 1 ? 900 : 700)
    const trouble = random.next() < 0.25 ? { trouble: someTrouble(random) } : {}
    const { calls } = await lives.live({ end, at, transactions: TRANSACTIONS, patience: 3, ...trouble })
    problems.push(...(await lives.audit()).map(p => `life ${life}, ${end} at ${at} of ${calls}: ${p}`))
  }
  return { problems, lives }
}

/** One fault of the disk, some time from now. */
export function someTrouble(random: Random): (files: FaultyFiles) => void {
  const nth = 1 + randomInt(random, 60)
  const times = 1 + randomInt(random, 3)
  const partialBytes = randomInt(random, 400)
  const kind = randomInt(random, 4)
  return files => {
    if (kind === 0) files.fail({ call: 'datasync', nth, times, error: 'EIO' })
    else if (kind === 1) files.fail({ call: 'write', nth, times, error: 'ENOSPC', partialBytes })
    else if (kind === 2) files.fail({ call: 'write', nth, times, error: 'EIO', partialBytes })
    else files.fail({ call: 'open', nth, times, error: 'EMFILE' })
  }
}

/** L1 and L8 on a disk in memory: the same history, killed at each of its file calls, and once more in the next life. */
export const killsEverywhere: Part = {
  name: 'kill-everywhere',
  doc: 'L1: killed at every file call of a scripted workload and of the start-up behind it, on a disk in memory',
  async run(size) {
    const tally = new Tally(this.name, size)
    const activity = noActivity()
    const whole = await new Lives(size.seed).live(plan(Number.POSITIVE_INFINITY))
    for (const at of pointsOf(size, whole.calls)) {
      const lives = new Lives(size.seed)
      await lives.live(plan(at))
      // The start-up that finds it is killed too.
      await lives.live(plan(1 + (at % 150)))
      const problems = await lives.audit()
      await lives.live(plan(Number.POSITIVE_INFINITY, 3))
      problems.push(...(await lives.audit()).map(p => `and later: ${p}`))
      tally.add(`--seed ${size.seed} --point ${at}`, problems)
      addActivity(activity, lives.activity)
    }
    const n = whole.calls / size.stride
    return tally.report(activity, { commits: n * 5, aborts: n, rolls: n, compactions: n / 10, undecided: n / 10 })
  },
}

function plan(at: number, transactions = TRANSACTIONS): LifePlan {
  return { end: 'kill', at, transactions }
}
