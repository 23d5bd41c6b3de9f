import { beforeEach, describe, expect, test } from 'vitest'
import { ManualClock, readWhole, SeededRandom, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker } from '../../broker/index.ts'
import { readSnapshot, type StateSnapshot, writeSnapshot } from '../../broker/state-snapshot.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const META = '/data/meta.properties'
const SNAPSHOT = '/data/meta/state/connect-offsets.json'

describe('a start of the embedded engine', () => {
  let files: MemoryFiles
  let clock: ManualClock
  beforeEach(() => {
    clock = new ManualClock()
    files = new MemoryFiles(new SeededRandom(3), { clock })
  })
  const open = (log = recordingLogger()) => openAsNewProcess({ files, clock, log })

  test('finds the marker of a close in good order, and takes it away', async () => {
    const broker = await open()
    expect(await files.list('/data')).not.toContain('.kafka_cleanshutdown')
    await broker.close()
    expect(await files.list('/data')).toContain('.kafka_cleanshutdown')
    const log = recordingLogger()
    await open(log)
    expect(await files.list('/data')).not.toContain('.kafka_cleanshutdown')
    expect(log.lines.filter(l => l.level !== 'debug')).toEqual([])
  })

  test('after a crash says so', async () => {
    await open()
    const log = recordingLogger()
    await open(log)
    expect(log.lines.map(l => l.message)).toContainEqual(expect.stringMatching(/not closed in good order/))
  })

  test('writes recovery points in the form of Kafka', async () => {
    const broker = await open()
    await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
    await write(broker, 't', 1, lines('a', 'b', 'c'))
    await broker.close()
    const text = (await readWhole(files, '/data/recovery-point-offset-checkpoint'))!.toString()
    expect(text.split('\n').slice(0, 2)).toEqual(['0', '5'])
    expect(text).toMatch(/^t 0 0$/m)
    // Three records and a marker.
    expect(text).toMatch(/^t 1 4$/m)
  })

  test('has the cluster id that was made with the data directory, as Kafka keeps it', async () => {
    const broker = await open()
    const text = (await readWhole(files, META))!.toString()
    expect(text).toMatch(/^version=1\ncluster\.id=[\w-]{22}\nnode\.id=0\ndirectory\.id=[\w-]{22}\n$/)
    expect(text).toContain(`cluster.id=${broker.clusterId}\n`)
    await broker.close()
    expect((await open()).clusterId).toBe(broker.clusterId)
    expect((await readWhole(files, META))!.toString()).toBe(text)
  })

  test('makes the cluster id once, whenever the power is cut', async () => {
    for (let cut = 0; cut < 6; cut++) {
      const disk = new MemoryFiles(new SeededRandom(cut), { clock })
      const broker = await openAsNewProcess({ files: disk, clock })
      await broker.ensureTopic({ name: 't', partitions: 1, configs: {} })
      const after = disk.powerCut()
      expect((await openAsNewProcess({ files: after, clock })).clusterId).toBe(broker.clusterId)
    }
  })

  test.each([
    ['empty', ''],
    ['cut', 'version=1\ncluster.id=AAAAAAAAAA'],
    [
      'of another version',
      'version=2\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\nnode.id=0\ndirectory.id=BBBBBBBBBBBBBBBBBBBBBB\n',
    ],
    [
      'of another node',
      'version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\nnode.id=1\ndirectory.id=BBBBBBBBBBBBBBBBBBBBBB\n',
    ],
  ])('with a meta.properties that is %s is refused, and the file stays', async (_, content) => {
    await (await open()).close()
    await writeWhole(files, META, Buffer.from(content))
    const error = await rejection(open())
    expect(error).toMatchObject({
      code: 'STORAGE_FAILED',
      message: expect.stringMatching(/meta\.properties: .*backup/),
    })
    expect((await readWhole(files, META))!.toString()).toBe(content)
  })

  test('without its meta.properties gets a new cluster id and says so', async () => {
    const broker = await open()
    await broker.ensureTopic({ name: 't', partitions: 1, configs: {} })
    await broker.close()
    await files.unlink(META)
    const log = recordingLogger()
    expect((await open(log)).clusterId).not.toBe(broker.clusterId)
    expect(log.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: expect.stringMatching(/new cluster id/) }),
    )
  })

  test('reads the meta.properties that Kafka writes, with its comments and order', async () => {
    await (await open()).close()
    const kafkas =
      '#\n#Fri Nov 20 11:33:07 UTC 2026\nnode.id=0\ndirectory.id=9qA7upOaMIqzAgmlcQbESA\nversion=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\n'
    await writeWhole(files, META, Buffer.from(kafkas))
    expect((await open()).clusterId).toBe('AAAAAAAAAAAAAAAAAAAAAA')
  })

  test('is refused while the folder of a listed partition is gone, and nothing is begun anew', async () => {
    const broker = await open()
    await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
    await broker.close()
    await files.removeTree('/data/t-1')
    const error = await rejection(open())
    expect(error).toMatchObject({ code: 'STORAGE_FAILED', message: expect.stringMatching(/^\/data\/t-1: .*gone/) })
    expect(await files.list('/data')).not.toContain('t-1')
  })

  test('finds topics by their folders when the list is lost, records and ids kept', async () => {
    const broker = await open()
    const made = await broker.ensureTopic({ name: 'a-1', partitions: 2, configs: { 'retention.ms': '5' } })
    await write(broker, 'a-1', 1, lines('kept'))
    await commitCheckpoint(broker, 1)
    await broker.close()
    await files.unlink('/data/meta/topics.json')
    const log = recordingLogger()
    const again = await open(log)
    expect(await again.topic('a-1')).toEqual({ ...made, configs: {} })
    expect(valuesOf(await readAll(again, 'a-1', 1))).toEqual(['kept'])
    expect((await again.checkpoints('c'))[0]!.value).toEqual({ at: 1 })
    expect(log.lines.map(l => l.message)).toContainEqual(expect.stringMatching(/found by their folders/))
  })

  test('is refused when the list of topics is garbage', async () => {
    await (await open()).close()
    for (const garbage of ['', '{', '{"version":2,"topics":{}}', '{"version":1,"topics":{"t":{}}}']) {
      await writeWhole(files, '/data/meta/topics.json', Buffer.from(garbage))
      expect(await rejection(open()), garbage).toMatchObject({ code: 'STORAGE_FAILED' })
    }
  })

  describe.each([
    ['missing', () => files.unlink(SNAPSHOT), undefined],
    ['empty', () => writeWhole(files, SNAPSHOT, Buffer.alloc(0)), /damaged/],
    ['zeroed', () => writeWhole(files, SNAPSHOT, Buffer.alloc(500)), /damaged/],
    ['changed by one bit', () => changeSnapshot(bytes => bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100)), /damaged/],
    ['of another topic', () => forgeSnapshot(s => ({ ...s, topicId: 'x'.repeat(22) })), /another topic/],
    ['from the future', () => forgeSnapshot(s => ({ ...s, offset: 1000 })), /outside its topic/],
  ])('with a state snapshot that is %s', (_, damage, said) => {
    test('reads the whole topic and says why: no position goes back', async () => {
      const broker = await open()
      for (let at = 1; at <= 5; at++) await commitCheckpoint(broker, at)
      await broker.close()
      expect(await files.list('/data/meta/state')).toContain('connect-offsets.json')
      await damage()
      const log = recordingLogger()
      const again = await open(log)
      expect((await again.checkpoints('c')).map(c => c.value)).toEqual([{ at: 5 }])
      const warnings = log.lines.filter(l => l.level === 'warn' || l.level === 'error').map(l => l.message)
      if (said === undefined) expect(warnings).toEqual([])
      else expect(warnings).toEqual([expect.stringMatching(said)])
    })
  })

  test('reads only what came after the snapshot', async () => {
    const broker = await open()
    for (let at = 1; at <= 5; at++) await commitCheckpoint(broker, at)
    await broker.close()
    const second = await open()
    await commitCheckpoint(second, 6)
    // No close: the snapshot of the first stands.
    const log = recordingLogger()
    const third = await open(log)
    expect((await third.checkpoints('c'))[0]!.value).toEqual({ at: 6 })
    const read = log.lines.find(l => l.message === 'state read' && l.fields.topic === 'connect-offsets')
    expect(read!.fields).toMatchObject({ from: 10, to: 12 })
  })

  async function changeSnapshot(change: (bytes: Buffer) => void): Promise<void> {
    const bytes = (await readWhole(files, SNAPSHOT))!
    change(bytes)
    await writeWhole(files, SNAPSHOT, bytes)
  }

  /** With a good checksum: what a snapshot says may be wrong without being damaged. */
  async function forgeSnapshot(change: (s: StateSnapshot) => StateSnapshot): Promise<void> {
    await writeSnapshot(files, SNAPSHOT, change((await readSnapshot(files, SNAPSHOT))!))
  }
})

async function commitCheckpoint(broker: Broker, at: number): Promise<void> {
  const writer = await broker.writer('w')
  const transaction = await writer.begin()
  transaction.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: { at } }])
  await transaction.commit()
}

test('the topics in which the broker keeps positions take no records of others, which could move them', async () => {
  const broker = await openAsNewProcess({ files: new MemoryFiles(new SeededRandom(4), { clock: new ManualClock() }) })
  const internal = (await broker.topics()).filter(topic => topic.internal).map(topic => topic.name)
  expect(internal).toEqual(['__consumer_offsets', '__transaction_state', 'connect-offsets'])
  for (const topic of internal) {
    expect(await rejection(write(broker, topic, 0, lines('forged')))).toMatchObject({ code: 'INVALID_TOPIC' })
    expect(await readAll(broker, topic, 0)).toEqual([])
  }
})
