import { expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { s3Sink } from '../../../connectors/s3/sink.ts'
import { type Files, type JsonObject, KtsError, SeededRandom, type SinkProgress } from '../../../runtime/api/index.ts'
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts'
import { numbers, optionsOf, textsIn } from '../../support/s3-sink.ts'
import { packedBatch } from '../../support/sink-batches.ts'
import { testContext } from '../../support/task-context.ts'

type Given = Parameters<typeof optionsOf>[0]

const disk = () => new MemoryFiles(new SeededRandom(1))
const FIRST = 'topics/t/partition=0/t+0+0000000000.txt'

/** A task of t-0, and what the broker would have of it. */
async function openTask(files: Files, given: Given, offset = 0, state: JsonObject | null = null) {
  const lines: LogLine[] = []
  const saves: (readonly SinkProgress[])[] = []
  const kept = { offset, state }
  const failures: Error[] = []
  const context = {
    ...testContext({ files }),
    log: recordingLogger(lines),
    saveState: async (progress: readonly SinkProgress[]) => {
      const failure = failures.shift()
      if (failure !== undefined) throw failure
      saves.push(progress)
      kept.state = progress[0]?.state ?? null
    },
  }
  const task = await s3Sink.open(optionsOf({ 'rotate.idle.ms': -1, ...given }), context)
  await task.open([{ topic: 't', partition: 0, offset, state }])
  const commit = async () => {
    const [progress] = await task.preCommit()
    kept.offset = progress?.offset ?? kept.offset
    kept.state = progress?.state ?? kept.state
    return kept
  }
  const said = () => lines.filter(({ level }) => level !== 'debug').map(({ message }) => message)
  return { task, context, saves, kept, failures, commit, said }
}

test('objects that are finished together share one save of their plans; while nothing is finished, none is made and nothing changes', async () => {
  const { task, saves, commit } = await openTask(disk(), { 'flush.size': 2 })
  await task.put([packedBatch(numbers(0, 7))])
  await commit()
  expect(saves).toHaveLength(1)
  expect(saves[0]?.[0]?.state).toMatchObject({ eras: [{ plans: [{ first: 0 }, { first: 2 }, { first: 4 }] }] })
  const before = JSON.stringify(await commit())
  await task.put([packedBatch(['line 7'], { offset: 7, timestamp: 1 })])
  expect(JSON.stringify(await commit())).not.toBe(before)
  const after = JSON.stringify(await commit())
  expect(JSON.stringify(await commit())).toBe(after)
  expect(saves).toHaveLength(2)
})

test('nothing can be seen while plans cannot be saved, and everything is there once when they can', async () => {
  const files = disk()
  const { task, failures, kept, commit } = await openTask(files, { 'flush.size': 2 })
  const full = () => new KtsError('DISK_FULL', 'no room for the log')
  failures.push(full(), full())
  await task.put([packedBatch(numbers(0, 5))])
  expect((await commit()).offset).toBe(0)
  await expect(task.drain()).rejects.toMatchObject({ code: 'DISK_FULL' })
  expect(await textsIn(files)).toEqual({})
  await task.drain()
  await commit()
  expect(kept.offset).toBe(5)
  expect(Object.values(await textsIn(files)).join('')).toBe('line 0\nline 1\nline 2\nline 3\nline 4\n')
})

test('a partition that goes to another task takes its plans along', async () => {
  const memory = disk()
  const faulty = new FaultyFiles(memory)
  const first = await openTask(faulty, { 'flush.size': 3 })
  faulty.fail({ call: 'rename', error: 'ENOSPC', times: Number.POSITIVE_INFINITY })
  await first.task.put([packedBatch(numbers(0, 4))])
  const { offset, state } = await first.commit()
  expect(offset).toBe(0)
  await first.task.closePartitions([{ topic: 't', partition: 0 }])
  const second = await openTask(memory, { 'flush.size': -1 }, offset, state)
  await second.task.put([packedBatch(numbers(0, 6))])
  await second.task.drain()
  expect(await textsIn(memory)).toEqual({
    [FIRST]: 'line 0\nline 1\nline 2\n',
    'topics/t/partition=0/t+0+0000000003.txt': 'line 3\nline 4\nline 5\n',
  })
})

test('a state that this version cannot read stops the task instead of repeating records', async () => {
  const states = [{ v: 2 }, {}, { v: 1, committed: 0, durable: 0, eras: [{ config: {}, plans: [], marks: [] }] }]
  for (const state of states) {
    await expect(openTask(disk(), {}, 0, state)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringMatching(/t-0.*give the sink another name/),
    })
  }
})

/** The state of a task that planned the first object of three records and was killed before it was there. */
async function killedBeforeUpload(files: Files) {
  const faulty = new FaultyFiles(files)
  faulty.fail({ call: 'rename', error: 'EIO', times: Number.POSITIVE_INFINITY })
  const { task, kept, commit } = await openTask(faulty, { 'flush.size': 3 })
  await task.put([packedBatch(numbers(0, 3))])
  await expect(commit()).rejects.toMatchObject({ code: 'EIO' })
  return kept
}

test('records of a planned object that are gone from the log are told, and it has those that are left', async () => {
  const files = disk()
  const { state } = await killedBeforeUpload(files)
  const { task, context, commit, said } = await openTask(files, {}, 0, state)
  await task.put([packedBatch(numbers(1, 4), { offset: 1 })])
  await task.drain()
  expect((await commit()).offset).toBe(4)
  expect(said()).toContain('records of a planned object are gone from the log or filtered now: it has what is left')
  expect(context.counts['objects.changed']).toBe(1)
  expect((await textsIn(files))[FIRST]).toBe('line 1\nline 2\n')
})

test('another target gets the planned object, and it is said that the old one may have it too', async () => {
  const files = disk()
  const { state } = await killedBeforeUpload(files)
  const { task, said } = await openTask(files, { 'store.url': '/exports/new' }, 0, state)
  expect(said().join()).toContain('the target was changed')
  await task.put([packedBatch(numbers(0, 3))])
  await task.drain()
  expect(Object.keys(await textsIn(files))).toEqual([`new/${FIRST}`])
})

test('an offset that was moved back by hand has everything from there on written again, and one moved on says what it left out', async () => {
  const files = disk()
  const { task, commit, kept } = await openTask(files, { 'flush.size': 3 })
  await task.put([packedBatch(numbers(0, 6))])
  await commit()
  expect(kept.offset).toBe(6)
  const again = await openTask(files, { 'flush.size': 4 }, 0, kept.state)
  expect(again.said().join()).toContain('the committed offset was moved back')
  await again.task.put([packedBatch(numbers(0, 4))])
  await again.commit()
  expect((await textsIn(files))[FIRST]).toBe('line 0\nline 1\nline 2\nline 3\n')

  const { state } = await killedBeforeUpload(disk())
  const on = await openTask(disk(), {}, 100, state)
  expect(on.said().join()).toContain('the committed offset was moved past objects that may not have been written')
  await on.task.put([packedBatch(['x'], { offset: 100 })])
  await on.task.drain()
  expect((await on.commit()).offset).toBe(101)
})
