import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, GroupMember, Writer } from '../../broker/index.ts'
import { lines, readAll, valuesOf } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'

const TRANSACTIONS = 3
/** Of each writer this one is aborted. */
const ABORTED = 2
const TOOL: GroupMember = { group: 'g', member: 'tool', generation: -1 }

/** The partitions that each writer writes to. */
const WRITERS = { a: [0, 1], b: [1, 2] } as const
type WriterId = keyof typeof WRITERS
const IDS = Object.keys(WRITERS) as WriterId[]

type Acknowledged = Record<WriterId, number>

/** Transaction k: the record `<writer><k>` twice in each partition, a checkpoint, and a group position of the writer's. */
async function write(broker: Broker, id: WriterId, from: number, acknowledged: Acknowledged): Promise<void> {
  const writer = await broker.writer(id)
  for (let k = from; k < from + TRANSACTIONS; k++) await writeOne(writer, id, k, acknowledged)
}

async function writeOne(writer: Writer, id: WriterId, k: number, acknowledged: Acknowledged): Promise<void> {
  const transaction = await writer.begin()
  for (const partition of WRITERS[id]) await transaction.append('t', partition, lines(`${id}${k}`))
  for (const partition of WRITERS[id]) await transaction.append('t', partition, lines(`${id}${k}`))
  transaction.checkpoint([{ connector: id, partition: { file: 'f' }, value: { at: k } }])
  transaction.offsets(TOOL, [{ topic: 't', partition: WRITERS[id][0], offset: k, metadata: '' }])
  if (k % TRANSACTIONS === ABORTED) await transaction.abort()
  else {
    await transaction.commit()
    acknowledged[id] = k
  }
}

type Ending = 'power cut' | 'kill'

/** Runs both writers on a disk whose power fails, or whose process dies, at file call `at`. */
async function runUntil(seed: number, at: number, ending: Ending) {
  const clock = new ManualClock()
  const disk = new MemoryFiles(new SeededRandom(seed), { clock })
  let calls = Number.NEGATIVE_INFINITY
  let after: MemoryFiles | undefined
  const files = new FaultyFiles(disk, () => {
    if (++calls < at) return undefined
    after ??= ending === 'kill' ? disk : disk.powerCut()
    return Promise.reject(Object.assign(new Error('EIO: the process is gone'), { code: 'EIO' }))
  })
  const broker = await openAsNewProcess({ files, clock })
  await broker.ensureTopic({ name: 't', partitions: 3, configs: { 'segment.bytes': '700' } })
  calls = 0
  const acknowledged: Acknowledged = { a: 0, b: 0 }
  await Promise.allSettled(IDS.map(id => write(broker, id, 1, acknowledged)))
  // What is behind the last commit, markers, ends with the process too.
  await broker.close().catch(() => undefined)
  return { after: after ?? disk, acknowledged, calls, clock }
}

/** What each writer has committed, as records, checkpoints and positions say it. Throws where they disagree. */
async function committed(broker: Broker, place: string): Promise<Acknowledged> {
  const values = new Map<number, (string | null)[]>()
  for (const partition of [0, 1, 2]) {
    const records = await readAll(broker, 't', partition)
    expect(
      records.every((r, i) => i === 0 || r.offset > records[i - 1]!.offset),
      place,
    ).toBe(true)
    values.set(partition, valuesOf(records))
    const { highWatermark, lastStableOffset } = await broker.partition('t', partition)
    expect(lastStableOffset, place).toBe(highWatermark)
  }
  const found: Acknowledged = { a: 0, b: 0 }
  for (const id of IDS) {
    const at = Number((await broker.checkpoints(id))[0]?.value?.at ?? 0)
    const position = (await broker.committed('g')).find(o => o.partition === WRITERS[id][0])?.offset ?? 0
    expect(position, place).toBe(at)
    const whole = Array.from({ length: at }, (_, i) => i + 1).filter(k => k % TRANSACTIONS !== ABORTED)
    for (const partition of WRITERS[id]) {
      const own = values.get(partition)!.filter(value => value!.startsWith(id))
      expect(own, `${place}, ${id} in partition ${partition}`).toEqual(whole.flatMap(k => [`${id}${k}`, `${id}${k}`]))
    }
    found[id] = at
  }
  return found
}

describe.each(['power cut', 'kill'] as const)('a %s at any file call', ending => {
  test('leaves every acknowledged transaction whole and of every other nothing, or all', async () => {
    const whole = await runUntil(1, Number.POSITIVE_INFINITY, ending)
    expect(whole.acknowledged).toEqual({ a: TRANSACTIONS, b: TRANSACTIONS })
    expect(whole.calls).toBeGreaterThan(60)
    let undecided = 0
    for (let at = 1; at <= whole.calls; at++) {
      const seed = 1000 + at
      const { after, acknowledged, clock } = await runUntil(seed, at, ending)
      const place = `seed ${seed}, call ${at}, acknowledged ${JSON.stringify(acknowledged)}`
      const broker = await openAsNewProcess({ files: after, clock })
      const found = await committed(broker, place)
      for (const id of IDS) {
        expect(found[id], place).toBeGreaterThanOrEqual(acknowledged[id])
        if (found[id] > acknowledged[id]) undecided++
      }
      // What was found stays: the next process, after another end, finds the same and goes on.
      const second = ending === 'kill' ? after : after.powerCut()
      const again = await openAsNewProcess({ files: second, clock })
      expect(await committed(again, place), place).toEqual(found)
      const next = { ...found }
      await Promise.all(IDS.map(id => write(again, id, found[id] + 1, next)))
      await again.close()
      const last = await openAsNewProcess({ files: ending === 'kill' ? second : second.powerCut(), clock })
      expect(await committed(last, place), place).toEqual(next)
    }
    // Cuts behind the commit point, before it was told.
    expect(undecided).toBeGreaterThan(0)
  })

  test('and another in the start behind it changes nothing that was decided', async () => {
    const { calls } = await runUntil(1, Number.POSITIVE_INFINITY, ending)
    for (const share of [0.4, 0.8]) {
      const at = Math.floor(calls * share)
      const seed = 5000 + at
      for (let cut = 1, isOver = false; !isOver; cut += 5) {
        const { after, acknowledged, clock } = await runUntil(seed, at, ending)
        let number = 0
        let found: MemoryFiles | undefined
        const files = new FaultyFiles(after, () => {
          if (++number < cut) return undefined
          found ??= ending === 'kill' ? after : after.powerCut()
          return Promise.reject(Object.assign(new Error('EIO: the process is gone'), { code: 'EIO' }))
        })
        await openAsNewProcess({ files, clock }).catch(() => undefined)
        isOver = found === undefined
        const place = `seed ${seed}, call ${at}, then call ${cut}`
        // An owner file that is empty may be just being written: it counts as left behind after a while.
        clock.jump(clock.now() + 60_000)
        const broker = await openAsNewProcess({ files: found ?? after, clock })
        const whole = await committed(broker, place)
        for (const id of IDS) expect(whole[id], place).toBeGreaterThanOrEqual(acknowledged[id])
      }
    }
  })
})
