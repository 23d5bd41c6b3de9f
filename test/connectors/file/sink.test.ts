import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { fileSink } from '../../../connectors/file/sink.ts'
import {
  type Files,
  type JsonObject,
  randomInt,
  readWhole,
  SeededRandom,
  type SinkTask,
} from '../../../runtime/api/index.ts'
import { packedBatch, recordsBatch } from '../../support/sink-batches.ts'
import { type TestContext, testContext } from '../../support/task-context.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)

const PATH = '/out/lines.txt'

/** What the log keeps of a sink: offset and state of t-0, committed together. */
interface Committed {
  offset: number
  state: JsonObject | null
}

async function start(files: Files, committed: Committed, format: 'text' | 'json' = 'text') {
  const context: TestContext = testContext({ files })
  const task = await fileSink.open({ file: PATH, 'format.class': format }, context)
  await task.open([{ topic: 't', partition: 0, ...committed }])
  for (const progress of context.saved.splice(0)) take(committed, progress)
  return { task, context }
}

async function commit(task: SinkTask, committed: Committed): Promise<void> {
  take(committed, await task.preCommit())
}

function take(committed: Committed, progress: Awaited<ReturnType<SinkTask['preCommit']>>): void {
  for (const { offset, state } of progress) {
    if (offset !== undefined) committed.offset = offset
    if (state !== undefined) committed.state = state
  }
}

const fresh = (): Committed => ({ offset: 0, state: null })
const disk = () => new MemoryFiles(new SeededRandom(SEED))
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `line ${from + i}`)
const text = async (files: Files) => (await readWhole(files, PATH))?.toString()

async function write(files: Files, content: string): Promise<void> {
  await files.mkdir('/out')
  const file = await files.open(PATH, 'write')
  await file.truncate(0)
  await file.write([Buffer.from(content)], 0)
  await file.datasync()
  await file.close()
}

test('values become lines behind what the file holds already', async () => {
  const files = disk()
  await write(files, 'kept\n')
  const { task } = await start(files, fresh())
  await task.put([packedBatch(['a', null, 'b']), recordsBatch([{ n: 1 }], { offset: 3 })])
  await task.drain()
  expect(await text(files)).toBe('kept\na\n\nb\n{"n":1}\n')
})

test('json writes JSON lines', async () => {
  const files = disk()
  const { task } = await start(files, fresh(), 'json')
  await task.put([packedBatch(['say "hi"']), packedBatch(['{"a":1}'], { offset: 1, encoding: 'json' })])
  expect(await text(files)).toBe('"say \\"hi\\""\n{"a":1}\n')
})

test('a restart cuts off what was not committed and writes it again, once', async () => {
  const files = disk()
  const committed = fresh()
  const first = await start(files, committed)
  await first.task.put([packedBatch(numbers(0, 3))])
  await commit(first.task, committed)
  await first.task.put([packedBatch(numbers(3, 5), { offset: 3 })])
  await first.task.close()
  const second = await start(files, committed)
  expect(committed.offset).toBe(3)
  await second.task.put([packedBatch(numbers(3, 6), { offset: 3 })])
  expect(await text(files)).toBe(`${numbers(0, 6).join('\n')}\n`)
})

test('a kill before the first commit leaves nothing twice, and what stood before stays', async () => {
  const files = disk()
  await write(files, 'kept\n')
  const committed = fresh()
  const first = await start(files, committed)
  await first.task.put([packedBatch(['a'])])
  await first.task.close()
  const second = await start(files, committed)
  await second.task.put([packedBatch(['a'])])
  expect(await text(files)).toBe('kept\na\n')
})

test('a power cut at any call: every line once and in order after the next run', async () => {
  const total = 60
  let cuts = 0
  for (let n = 1; ; n++) {
    const memory = disk()
    const random = new SeededRandom(SEED + n)
    const committed = fresh()
    const cutting = new FaultyFiles(memory, (_call, _path, number) => {
      if (number >= n) throw Object.assign(new Error('cut'), { code: 'EIO' })
    })
    const whole = await deliver(cutting, committed, total, random).then(
      () => true,
      () => false,
    )
    if (whole) break
    cuts++
    const after = memory.powerCut()
    await deliver(after, committed, total, random)
    expect(await text(after)).toBe(`${numbers(0, total).join('\n')}\n`)
  }
  expect(cuts).toBeGreaterThan(10)
})

async function deliver(files: Files, committed: Committed, total: number, random: SeededRandom): Promise<void> {
  const { task } = await start(files, committed)
  for (let at = committed.offset; at < total; ) {
    const to = Math.min(total, at + 1 + randomInt(random, 8))
    await task.put([packedBatch(numbers(at, to), { offset: at })])
    if (randomInt(random, 2) === 0) await commit(task, committed)
    at = to
  }
  await task.drain()
  await commit(task, committed)
  await task.close()
}

describe('a disk that fails', () => {
  test('full: nothing was taken, half a line is not left, the same batch goes on when there is room', async () => {
    const memory = disk()
    const faulty = new FaultyFiles(memory)
    const { task } = await start(faulty, fresh())
    await task.put([packedBatch(['one'])])
    faulty.fail({ call: 'write', error: 'ENOSPC', partialBytes: 2 })
    const batch = [packedBatch(['two', 'three'], { offset: 1 })]
    await expect(task.put(batch)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await text(memory)).toBe('one\n')
    await task.put(batch)
    expect(await text(memory)).toBe('one\ntwo\nthree\n')
  })

  test('a sync that failed is never reported as done later', async () => {
    const faulty = new FaultyFiles(disk())
    const committed = fresh()
    const { task } = await start(faulty, committed)
    await task.put([packedBatch(['one'])])
    faulty.fail({ call: 'datasync', error: 'EIO' })
    await expect(task.preCommit()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(task.preCommit()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(committed.offset).toBe(0)
  })

  test('not permitted: says the path and the command that mends it', async () => {
    const faulty = new FaultyFiles(disk())
    faulty.fail({ call: 'open', error: 'EACCES', times: 2 })
    const expected = { code: 'ACCESS_DENIED', message: expect.stringMatching(/\/out\/lines.txt.*chown/) }
    await expect(start(faulty, fresh())).rejects.toMatchObject(expected)
    await expect(
      fileSink.check!({ file: PATH, 'format.class': 'text' }, testContext({ files: faulty })),
    ).rejects.toMatchObject(expected)
  })
})

describe('a file that others changed', () => {
  test('shortened: an error that says what to do, and the file is left alone', async () => {
    const files = disk()
    await write(files, 'short\n')
    const start1 = start(files, { offset: 9, state: { v: 1, size: 100, offset: 9 } })
    await expect(start1).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringContaining('move it away'),
    })
    expect(await text(files)).toBe('short\n')
  })

  test('moved away: lines go on in a new file', async () => {
    const files = disk()
    const { task } = await start(files, { offset: 9, state: { v: 1, size: 100, offset: 9 } })
    await task.put([packedBatch(['next'], { offset: 9 })])
    expect(await text(files)).toBe('next\n')
  })
})

test('a second task for the same file is refused', async () => {
  await expect(fileSink.open({ file: PATH, 'format.class': 'text' }, testContext({ task: 1 }))).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('tasks.max'),
  })
})

test('one bad record is told, the others are written and the offset moves past it', async () => {
  const files = disk()
  const committed = fresh()
  const { task } = await start(files, committed)
  const loop: Record<string, unknown> = {}
  loop.loop = loop
  await expect(task.put([recordsBatch(['a', loop, 'b'])])).rejects.toMatchObject({
    rejected: [{ batch: 0, record: 1 }],
  })
  await commit(task, committed)
  expect([await text(files), committed.offset]).toEqual(['a\nb\n', 3])
})
