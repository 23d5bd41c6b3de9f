import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { type Files, randomInt, SeededRandom, type SinkBatch } from '../../../runtime/api/index.ts'
import { numbers, objectsIn, startSink } from '../../support/s3-sink.ts'
import { packedBatch, recordsBatch } from '../../support/sink-batches.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)

const disk = () => new MemoryFiles(new SeededRandom(SEED))

describe('nothing is lost', () => {
  /** Delivers all lines from the committed offset, as the sink loop does, until the disk says stop. */
  async function deliver(files: Files, committed: number, total: number, random: SeededRandom): Promise<number> {
    let safe = committed
    const { task, commit } = await startSink(files, { 'flush.size': 7, 's3.compression.type': 'none' }, committed)
    for (let at = committed; at < total; ) {
      const to = Math.min(total, at + 1 + randomInt(random, 10))
      await task.put([packedBatch(numbers(at, to), { offset: at })])
      if (randomInt(random, 3) === 0) safe = (await commit()) ?? safe
      at = to
    }
    await task.drain()
    return (await commit()) ?? safe
  }

  const total = 200

  async function linesFrom(files: Files): Promise<string[]> {
    const objects = [...(await objectsIn(files))].sort(([a], [b]) => (a < b ? -1 : 1))
    return objects.flatMap(([, bytes]) => bytes.toString().split('\n').slice(0, -1))
  }

  test('a power cut at any call: committed records are in whole objects, and the next run completes them once', async () => {
    let cuts = 0
    for (let n = 1; ; n += 3) {
      const memory = disk()
      const random = new SeededRandom(SEED + n)
      let safe = 0
      const cutting = new FaultyFiles(memory, (_call, _path, number) => {
        if (number >= n) throw Object.assign(new Error('cut'), { code: 'EIO' })
      })
      const run = startSink(cutting, { 'flush.size': 7 })
      try {
        const { task, commit } = await run
        for (let at = 0; at < total; at += 10) {
          await task.put([packedBatch(numbers(at, at + 10), { offset: at })])
          safe = (await commit()) ?? safe
        }
        await task.drain()
        safe = (await commit()) ?? safe
      } catch (error) {
        expect((error as Error).message).toMatch(/cut|EIO/)
      }
      const after = memory.powerCut()
      const durable = await linesFrom(after)
      for (const line of numbers(0, safe)) expect(durable).toContain(line)
      if (safe === total) break
      cuts++
      expect(await deliver(after, safe, total, random)).toBe(total)
      const all = await linesFrom(after)
      expect([...new Set(all)]).toEqual(numbers(0, total))
    }
    expect(cuts).toBeGreaterThan(20)
  })

  test('a full disk moves no offset and loses nothing taken: when there is room again each line is there once', async () => {
    const memory = disk()
    const faulty = new FaultyFiles(memory)
    const { task, commit, context } = await startSink(faulty, { 'flush.size': 5 })
    const batches = [packedBatch(numbers(0, 12))]
    await task.put(batches)
    const clear = faulty.fail({ call: 'write', error: 'ENOSPC', partialBytes: 3, times: Number.POSITIVE_INFINITY })
    await task.put([packedBatch(numbers(12, 24), { offset: 12 })])
    expect(await commit()).toBeLessThan(20)
    expect(context.counts['uploads.delayed']).toBe(1)
    await expect(task.drain()).rejects.toMatchObject({ code: 'ENOSPC' })
    clear()
    await task.drain()
    expect(await commit()).toBe(24)
    expect(await linesFrom(memory)).toEqual(numbers(0, 24))
  })

  test('a close that fails behind the sync does not begin the file anew: the object has what was put', async () => {
    const memory = disk()
    const faulty = new FaultyFiles(memory)
    faulty.fail({ call: 'close', error: 'EDQUOT', path: path => path.includes('.unfinished') })
    const { task, commit } = await startSink(faulty)
    await task.put([packedBatch(numbers(0, 3))])
    await expect(task.drain()).rejects.toMatchObject({ code: 'EDQUOT' })
    await task.drain()
    expect(await commit()).toBe(3)
    expect(await linesFrom(memory)).toEqual(numbers(0, 3))
  })

  test('a disk that did not confirm a sync is not asked again: the task fails and the object is written anew', async () => {
    const memory = disk()
    const faulty = new FaultyFiles(memory)
    faulty.fail({ call: 'datasync', error: 'EIO' })
    const { task } = await startSink(faulty)
    await task.put([packedBatch(numbers(0, 3))])
    await expect(task.drain()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(task.drain()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await task.close()
    expect(await linesFrom(memory)).toEqual([])
    expect(await deliver(memory, 0, 3, new SeededRandom(1))).toBe(3)
    expect(await linesFrom(memory)).toEqual(numbers(0, 3))
  })

  test('a record that does not decode is heard of before anything is taken', async () => {
    const files = disk()
    const { task, commit } = await startSink(files)
    const bad: SinkBatch = {
      ...recordsBatch(['b'], { offset: 1 }),
      records: () => {
        throw new Error('does not decode')
      },
    }
    await expect(task.put([packedBatch(['a']), bad])).rejects.toThrow('does not decode')
    await task.put([packedBatch(['a']), packedBatch(['b'], { offset: 1 })])
    await task.drain()
    expect(await commit()).toBe(2)
    expect(await linesFrom(files)).toEqual(['a', 'b'])
  })

  test('partitions that go are given up: nothing of them appears, and their offset was not moved', async () => {
    const files = disk()
    const { task, commit } = await startSink(files)
    await task.put([packedBatch(['a'])])
    expect(await commit()).toBe(0)
    await task.closePartitions([{ topic: 't', partition: 0 }])
    expect(await commit()).toBeUndefined()
    await task.drain()
    expect((await objectsIn(files)).size).toBe(0)
    expect(await files.list('/exports/topics/.unfinished').catch(() => [])).toEqual([])
  })
})
