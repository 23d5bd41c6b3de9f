import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type Files, ManualClock, nodeFiles, randomInt, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { verifyLog } from '../../broker/log-inspection.ts'
import { dumpPartition } from '../../broker/log-inspection-dump.ts'
import { findLogFolders } from '../../broker/log-inspection-folders.ts'
import { dumpJson } from '../../cli/dump-text.ts'
import { lines, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { golden } from '../support/golden.ts'
import { alter, emptyDisk, FOLDER, goldenLog, ownLog } from '../support/inspected-log.ts'

const verify = async (files: Files = nodeFiles, directory = FOLDER) =>
  (await verifyLog(files, await findLogFolders(files, directory))).findings

const folders = golden === undefined ? [] : partitionFolders()

/** Every partition that Kafka left whole. */
function partitionFolders(): string[] {
  const logs = readdirSync(golden!, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.log'))
  const directories = logs
    .filter(name => name.includes('-0/') || name.includes('-1/'))
    .map(name => name.replace(/\/[^/]*$/, ''))
  return [...new Set(directories)].filter(name => !name.includes('7-damaged/damaged')).sort()
}

describe.skipIf(golden === undefined)('log verify on what Kafka wrote', () => {
  test.each(folders)('finds nothing wrong in %s', async folder => {
    expect((await verify(nodeFiles, join(golden!, folder))).problems).toEqual([])
  })

  const damaged = (name: string) => join(golden!, 'kafka-4.1.2/7-damaged/damaged', name)

  test('takes indexes with the space that a running broker allocates ahead', async () => {
    const files = await emptyDisk()
    await goldenLog(files, join(golden!, 'kafka-4.1.2/4-segments/segments-0'))
    for (const suffix of ['index', 'timeindex'])
      await alter(files, `${FOLDER}/00000000000000000189.${suffix}`, bytes =>
        Buffer.concat([bytes, Buffer.alloc(2400)]),
      )
    expect((await verify(files)).problems).toEqual([])
  })

  test('names file, byte and offsets of a batch with a flipped bit', async () => {
    const { problems } = await verify(nodeFiles, damaged('flip-0'))
    const path = `${damaged('flip-0')}/00000000000000000000.log`
    expect(problems).toMatchObject([{ path, position: 883, firstOffset: 30, lastOffset: 39 }])
    expect(problems[0]!.what).toMatch(/^301 bytes are damaged: a batch with checksum \d+ whose bytes have \d+$/)
  })

  test('names a torn batch', async () => {
    const { problems } = await verify(nodeFiles, damaged('torn-0'))
    expect(problems).toMatchObject([{ position: 1485, firstOffset: 50, lastOffset: 59 }])
    expect(problems[0]!.what).toBe('150 bytes are damaged: a batch of 301 bytes, of which 150 are there')
  })

  test.each(['gzip', 'snappy', 'lz4', 'zstd'])('reads from codec-%s the records of codec-none', async codec => {
    expect(await records(codec)).toEqual(await records('none'))
  })

  async function records(codec: string): Promise<string[]> {
    const found: string[] = []
    const { partitions } = await findLogFolders(nodeFiles, join(golden!, `kafka-4.1.2/1-codecs/codec-${codec}-0`))
    await dumpPartition(nodeFiles, partitions[0]!, { deep: true }, async item => {
      if (item.kind === 'record') found.push(dumpJson(item))
    })
    expect(found).toHaveLength(200)
    return found
  }

  /** What a flip there changes for a reader: all of a batch but the place that the log gave it, all of a small file. */
  const FLIPS: readonly [string, string, (bytes: Buffer, at: number) => boolean][] = [
    ['4-segments/segments-0', '00000000000000000063.log', () => true],
    ['4-segments/segments-0', '00000000000000000063.index', () => true],
    ['4-segments/segments-0', '00000000000000000063.timeindex', (_, at) => at % 12 < 8],
    ['4-segments/segments-0', '00000000000000000126.snapshot', () => true],
    ['2-txn/txn-0', '00000000000000000005.txnindex', (_, at) => at % 34 < 26],
  ]

  test.each(FLIPS)('finds any flipped bit of %s/%s', async (folder, name, counts) => {
    const random = new SeededRandom(5)
    const files = await emptyDisk()
    await goldenLog(files, join(golden!, 'kafka-4.1.2', folder))
    const path = `${FOLDER}/${name}`
    for (let run = 0; run < 60; run++) {
      let flipped = -1
      const bit = randomInt(random, 8)
      const flip = (bytes: Buffer) => {
        flipped = flipped < 0 ? randomInt(random, bytes.length) : flipped
        if (counts(bytes, flipped) && !isPlace(name, bytes, flipped)) bytes[flipped]! ^= 1 << bit
        else flipped = -1
        return undefined
      }
      await alter(files, path, flip)
      if (flipped < 0) continue
      const { problems } = await verify(files)
      expect(
        problems.map(problem => problem.path),
        `seed 5, run ${run}, byte ${flipped}`,
      ).toContain(path)
      await alter(files, path, bytes => {
        bytes[flipped]! ^= 1 << bit
        return undefined
      })
    }
    expect((await verify(files)).problems).toEqual([])
  })
})

/** Base offset and leader epoch of a batch are not under its checksum: only what is around them can tell. */
function isPlace(name: string, bytes: Buffer, byte: number): boolean {
  if (!name.endsWith('.log')) return false
  for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + 8)) {
    if (byte >= at && byte < at + 16) return byte < at + 8 || byte >= at + 12
  }
  return false
}

describe('log verify', () => {
  test('finds nothing wrong in a log of ours, and counts it', async () => {
    const files = await emptyDisk()
    await ownLog(files)
    const report = await verifyLog(files, await findLogFolders(files, FOLDER))
    expect(report.findings).toMatchObject({ problems: [], notes: [] })
    expect(report.partitions).toMatchObject([{ records: 300, batches: 60, logStartOffset: 0, nextOffset: 300 }])
    expect(report.partitions[0]!.segments).toBeGreaterThan(2)
  })

  test('writes nothing', async () => {
    const files = await emptyDisk()
    await ownLog(files)
    const before = [...(await files.list(FOLDER))].sort()
    const sealed = new Proxy(files, {
      get(target, name) {
        if (['rename', 'unlink', 'removeTree', 'mkdir', 'syncDirectory'].includes(String(name)))
          throw new Error(`${String(name)} was called`)
        if (name === 'open')
          return (path: string, mode: string) => {
            if (mode !== 'read') throw new Error(`${path} was opened to ${mode}`)
            return target.open(path, 'read')
          }
        const value = Reflect.get(target, name, target) as unknown
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    expect((await verify(sealed)).problems).toEqual([])
    expect([...(await files.list(FOLDER))].sort()).toEqual(before)
  })

  test('a missing segment in the middle, an index that is gone and one of another log are found', async () => {
    const files = await emptyDisk()
    await ownLog(files)
    const logs = (await files.list(FOLDER)).filter(name => name.endsWith('.log')).sort()
    const [first, second, third] = logs.map(name => `${FOLDER}/${name.slice(0, -4)}`)
    await files.unlink(`${first}.index`)
    await alter(files, `${third}.timeindex`, bytes => bytes.subarray(0, bytes.length - 5))
    const { problems } = await verify(files)
    expect(problems.map(({ path }) => path)).toEqual([`${first}.index`, `${third}.timeindex`])
    await files.unlink(`${second}.log`)
    expect((await verify(files)).notes).toMatchObject([
      { what: expect.stringMatching(/offsets in 1 gaps are in no batch/) },
    ])
  })

  test('a folder without a log is said to be none', async () => {
    const files = await emptyDisk()
    await expect(findLogFolders(files, FOLDER)).rejects.toMatchObject({ code: 'NO_LOG' })
  })
})

describe('log verify of a data directory', () => {
  async function twoTopics(): Promise<MemoryFiles> {
    const files = new MemoryFiles(new SeededRandom(3))
    const broker = await openAsNewProcess({ files, clock: new ManualClock() })
    for (const name of ['full', 'new']) await broker.ensureTopic({ name, configs: {} })
    await write(broker, 'full', 0, lines('a', 'b'))
    await broker.close()
    return files
  }

  test('finds nothing wrong where a topic has no records yet', async () => {
    expect((await verify(await twoTopics(), '/data')).problems).toEqual([])
  })

  test('misses the folder of a partition that is listed, unless it is on its way out', async () => {
    const files = await twoTopics()
    const leaving = `/data/new-0.${'0'.repeat(32)}-delete`
    await files.rename('/data/new-0', leaving)
    expect((await verify(files, '/data')).problems).toEqual([])
    await files.removeTree(leaving)
    expect((await verify(files, '/data')).problems.map(({ what }) => what)).toEqual([
      'the folder of new-0 is gone, with its records; no worker starts without it',
    ])
  })

  test('misses the log of a partition that had records', async () => {
    const files = await twoTopics()
    for (const name of await files.list('/data/full-0'))
      if (name.endsWith('.log')) await files.unlink(`/data/full-0/${name}`)
    expect((await verify(files, '/data')).problems.map(({ what }) => what)).toEqual([
      'full-0 has no log any more, and its offsets below 3 had been synced',
    ])
  })

  test('does not call good what it may not look at', async () => {
    const files = new FaultyFiles(await twoTopics())
    files.fail({ call: 'list', error: 'EACCES', path: path => path === '/data/full-0' })
    await expect(verify(files, '/data')).rejects.toMatchObject({ code: 'EACCES' })
  })
})
