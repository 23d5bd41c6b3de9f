import { beforeEach, describe, expect, test } from 'vitest'
import { type Fault, FaultyFiles } from '../../base/faulty-files.ts'
import { type Logger, ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, Writer } from '../../broker/index.ts'
import {
  decodeTransactionKey,
  decodeTransactionValue,
  type TransactionRecord,
} from '../../broker/transaction-records.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import { JOURNAL_BYTES, openAsNewProcess } from '../support/embedded.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const LEFT_OPEN = 'transactions that the last run left open were ended'

describe.each([
  ['in the commit journal', JOURNAL_BYTES],
  ['synced file by file', 0],
])('transactions of the embedded engine, %s,', (_, journalBytes) => {
  let clock: ManualClock
  let disk: MemoryFiles
  let files: FaultyFiles
  let broker: Broker
  beforeEach(async () => {
    clock = new ManualClock()
    disk = new MemoryFiles(new SeededRandom(9), { clock })
    files = new FaultyFiles(disk)
    broker = await openAsNewProcess({ files, clock, journalBytes })
    await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
  })

  /** A process that finds the disk as the first one left it, which did not close. */
  async function restart(log?: Logger): Promise<Broker> {
    return openAsNewProcess({ files: disk, clock, journalBytes, ...(log && { log }) })
  }

  function fail(call: Fault['call'], error: string, folder: string, fault: Partial<Fault> = {}): () => void {
    return files.fail({
      call,
      error,
      path: path => path.startsWith(`/data/${folder}/`) && path.endsWith('.log'),
      ...fault,
    })
  }

  async function put(writer: Writer, value: string, end: 'commit' | 'abort' = 'commit'): Promise<void> {
    const transaction = await writer.begin()
    for (const partition of [0, 1]) await transaction.append('t', partition, lines(value))
    transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { value } }])
    await transaction[end]()
  }

  async function seen(of: Broker): Promise<unknown> {
    const partitions = [valuesOf(await readAll(of, 't', 0)), valuesOf(await readAll(of, 't', 1))]
    expect(partitions[0]).toEqual(partitions[1])
    const at = (await of.checkpoints('c'))[0]?.value?.value
    expect(at).toBe(partitions[0]!.filter(v => v !== 'other').at(-1))
    return partitions[0]
  }

  test('go through Kafka’s states, with an epoch for each and the ends that were durable', async () => {
    const writer = await broker.writer('w')
    await put(writer, 'one')
    await put(writer, 'gone', 'abort')
    await put(writer, 'two')
    await broker.close()
    const again = await restart()
    const states = await statesOf(again)
    const id = (await again.topic('t'))!.id
    // Two epochs later: an abort takes one, too. What the journal had the log need not say.
    const prepared = [
      ['w', 'PrepareCommit', 1],
      ['w', 'PrepareCommit', 3],
    ]
    expect(states.map(([name, r]) => [name, r.state, r.producerEpoch])).toEqual([
      ...(journalBytes === 0 ? prepared : []),
      ['w', 'CompleteCommit', 3],
    ])
    const [first] = states.map(([, record]) => record)
    const endsOf = (record: TransactionRecord) => record.durableEnds.filter(e => e.topicId === id).map(e => e.end)
    if (journalBytes === 0) {
      expect(first!.partitions).toEqual([
        { topic: 't', partitions: [0, 1] },
        { topic: 'connect-offsets', partitions: [0] },
      ])
      expect(endsOf(first!)).toEqual([1, 1])
    }
    // One and two with a marker behind each, and what was aborted.
    expect(endsOf(states.at(-1)![1])).toEqual([6, 6])
    const later = await again.writer('w')
    await put(later, 'three')
    await again.close()
    const [, last] = (await statesOf(await restart())).at(-1)!
    expect(last).toMatchObject({ producerId: first!.producerId, state: 'CompleteCommit' })
    expect(last.producerEpoch).toBeGreaterThan(3)
  })

  test('of another writer have another producer id, after a restart too', async () => {
    await put(await broker.writer('a'), 'a')
    const again = await restart()
    await put(await again.writer('b'), 'b')
    await again.close()
    const ids = new Set((await statesOf(await restart())).map(([, record]) => record.producerId))
    expect(ids.size).toBe(2)
  })

  test('cost one sync in the journal, else one of each file, all at once, and one of the transaction log', async () => {
    const writer = await broker.writer('w')
    await put(writer, 'warm')
    const before = files.count('datasync')
    for (let i = 0; i < 10; i++) await put(writer, `v${i}`)
    expect(files.count('datasync') - before).toBe(journalBytes === 0 ? 10 * (3 + 1) : 10)
  })

  test.each(['commit', 'abort'] as const)(
    'of a writer that rests let readers come to the very end after their %s, by one more sync of each file',
    async end => {
      const writer = await broker.writer('w')
      await put(writer, 'one', end)
      const ends = () => Promise.all([0, 1].map(partition => broker.partition('t', partition)))
      await clock.advance(3000)
      // A record and the marker.
      expect(await ends()).toMatchObject([{ lastStableOffset: 2 }, { lastStableOffset: 2 }])
      const before = files.count('datasync')
      await clock.advance(30_000)
      expect(files.count('datasync') - before).toBe(0)
      expect(await seen(broker)).toEqual(end === 'commit' ? ['one'] : [])
    },
  )

  test('of several writers share the sync that decides', async () => {
    const synced: string[] = []
    files = new FaultyFiles(disk, (call, path) => {
      if (call === 'datasync') synced.push(path)
    })
    const again = await openAsNewProcess({ files, clock, journalBytes })
    const writers = await Promise.all(Array.from({ length: 20 }, (_, i) => again.writer(`w${i}`)))
    synced.length = 0
    await Promise.all(
      writers.map(async (writer, i) => {
        const transaction = await writer.begin()
        await transaction.append('t', i % 2, lines(`v${i}`))
        await transaction.commit()
      }),
    )
    const decides = journalBytes === 0 ? '__transaction_state' : '/journal-'
    const count = synced.filter(path => path.includes(decides)).length
    expect(count).toBeGreaterThan(0)
    expect(count).toBeLessThan(10)
  })

  test('do not claim what a topic of weaker durability has', async () => {
    await broker.ensureTopic({ name: 'weak', configs: { durability: 'os' } })
    await write(broker, 'weak', 0, lines('x'))
    const again = await restart()
    // An own record, so that what is known of the others is in the log.
    await put(await again.writer('w'), 'one')
    await again.close()
    const states = await statesOf(await restart())
    const weak = states.filter(([, { partitions }]) => partitions.some(({ topic }) => topic === 'weak'))
    expect(weak.length).toBeGreaterThan(0)
    for (const [, record] of weak) expect(record.durableEnds).toEqual([])
  })

  describe('that end before they are decided', () => {
    if (journalBytes === 0)
      test('because a partition cannot be synced, leave nothing', async () => {
        fail('datasync', 'EIO', 't-1')
        expect(await rejection(put(await broker.writer('w'), 'gone'))).toMatchObject({ code: 'STORAGE_FAILED' })
        expect(await readAll(broker, 't', 0)).toEqual([])
        expect(await broker.checkpoints('c')).toEqual([])
        const again = await restart()
        expect(await seen(again)).toEqual([])
        await put(await again.writer('w'), 'next')
        expect(await seen(again)).toEqual(['next'])
      })

    const written = ['t-0', 'connect-offsets-0', ...(journalBytes === 0 ? ['__transaction_state-0'] : [])]
    test.each(written)(
      'because %s has no room, leave nothing, and the next goes on without a restart',
      async folder => {
        await put(await broker.writer('w'), 'before')
        const clear = fail('write', 'ENOSPC', folder)
        const writer = await broker.writer('w')
        expect(await rejection(put(writer, 'gone'))).toMatchObject({ code: 'DISK_FULL' })
        clear()
        expect(await seen(broker)).toEqual(['before'])
        await put(writer, 'after')
        expect(await seen(broker)).toEqual(['before', 'after'])
        expect(await seen(await restart())).toEqual(['before', 'after'])
      },
    )

    test('when the broker closes are aborted, and the start after it finds nothing to do', async () => {
      const writer = await broker.writer('w')
      await put(writer, 'kept')
      await (await writer.begin()).append('t', 0, lines('open'))
      await broker.close()
      const log = recordingLogger()
      const again = await restart(log)
      expect(await seen(again)).toEqual(['kept'])
      expect(log.lines.map(l => l.message)).not.toContain(LEFT_OPEN)
      expect((await statesOf(again)).at(-1)![1].state).toBe('CompleteCommit')
    })

    test('when the process ends are aborted at the next start, which says how many', async () => {
      const writer = await broker.writer('w')
      await put(writer, 'kept')
      for (const id of ['x', 'y']) await (await (await broker.writer(id)).begin()).append('t', 0, lines('open'))
      // Written by the process, which the appends were not waited for.
      await write(broker, 't', 1, lines('other'))
      await write(broker, 't', 0, lines('other'))
      const log = recordingLogger()
      const again = await restart(log)
      expect(await seen(again)).toEqual(['kept', 'other'])
      expect(log.lines.find(l => l.message === LEFT_OPEN)?.fields).toMatchObject({ committed: 0, aborted: 2 })
    })
  })

  describe('whose markers cannot be written', () => {
    test.each(['commit', 'abort'] as const)(
      'have ended by %s for every reader, and nothing else of the writer comes before them',
      async end => {
        const writer = await broker.writer('w')
        const expected = end === 'commit' ? ['one'] : []
        const clear = fail('write', 'ENOSPC', 't-0', { nth: 2, times: Number.POSITIVE_INFINITY })
        await put(writer, 'one', end)
        expect(await seen(broker)).toEqual(expected)
        expect(await rejection(writer.begin())).toMatchObject({ code: 'DISK_FULL' })
        const { highWatermark, lastStableOffset } = await broker.partition('t', 0)
        expect(lastStableOffset).toBe(highWatermark)
        const other = await (await broker.writer('other')).begin()
        await other.append('t', 1, lines('other'))
        await other.commit()
        clear()
        await put(writer, 'two')
        await write(broker, 't', 0, lines('other'))
        const [zero, one] = [await readAll(broker, 't', 0), await readAll(broker, 't', 1)]
        expect(valuesOf(zero)).toEqual([...expected, 'two', 'other'])
        expect(valuesOf(one)).toEqual([...expected, 'other', 'two'])
        const again = await restart()
        expect(valuesOf(await readAll(again, 't', 0))).toEqual([...expected, 'two', 'other'])
      },
    )

    test.each(['commit', 'abort'] as const)('end by %s at the next start', async end => {
      const writer = await broker.writer('w')
      fail('write', 'ENOSPC', 't-0', { nth: 2, times: Number.POSITIVE_INFINITY })
      await put(writer, 'one', end)
      const log = recordingLogger()
      const again = await restart(log)
      expect(await seen(again)).toEqual(end === 'commit' ? ['one'] : [])
      const told = end === 'commit' ? { committed: 1, aborted: 0 } : { committed: 0, aborted: 1 }
      expect(log.lines.find(l => l.message === LEFT_OPEN)?.fields).toMatchObject(told)
    })

    test('at a start end for every reader all the same, and are written when there is room', async () => {
      const writer = await broker.writer('w')
      fail('write', 'ENOSPC', 't-0', { nth: 2, times: Number.POSITIVE_INFINITY })
      await put(writer, 'one')
      files.clear()
      const faulty = new FaultyFiles(disk)
      const path = (p: string) => p.startsWith('/data/t-0/')
      faulty.fail({ call: 'write', error: 'ENOSPC', path, times: Number.POSITIVE_INFINITY })
      const again = await openAsNewProcess({ files: faulty, clock })
      expect(await seen(again)).toEqual(['one'])
      expect(await rejection(put(await again.writer('w'), 'full'))).toMatchObject({ code: 'DISK_FULL' })
      faulty.clear()
      await clock.advance(2000)
      await put(await again.writer('w'), 'two')
      expect(await seen(again)).toEqual(['one', 'two'])
      expect(await seen(await restart())).toEqual(['one', 'two'])
    })
  })

  describe('a decision that fails', () => {
    test.each(['write', 'datasync'] as const)(
      'in a %s decides nothing more until it has been read again',
      async call => {
        const [writer, other] = [await broker.writer('w'), await broker.writer('other')]
        await put(writer, 'before')
        const decides = journalBytes === 0 ? '/data/__transaction_state-0/' : '/data/meta/journal-'
        files.fail({ call, error: 'EIO', path: path => path.startsWith(decides) })
        expect(await rejection(put(writer, 'perhaps'))).toMatchObject({ code: 'COMMIT_UNKNOWN' })
        expect(await seen(broker)).toEqual(['before'])
        const failed = { code: 'STORAGE_FAILED' }
        expect(await rejection(put(writer, 'x'))).toMatchObject(failed)
        expect(await rejection(put(other, 'x'))).toMatchObject(failed)
        // Who opens a writer believes the checkpoints behind it, and these are not known now.
        expect(await rejection(broker.writer('w'))).toMatchObject(failed)
        files.clear()
        await broker.close().catch(() => undefined)
        const again = await restart()
        const found = await seen(again)
        expect([['before'], ['before', 'perhaps']]).toContainEqual(found)
        await put(await again.writer('w'), 'after')
        expect(await seen(again)).toEqual([...(found as string[]), 'after'])
      },
    )
  })

  test('that are open longer than their timeout are aborted by the clock', async () => {
    const writer = await broker.writer('w', { transactionTimeoutMs: 5000 })
    const transaction = await writer.begin()
    await transaction.append('t', 0, lines('late'))
    await clock.advance(4000)
    await transaction.append('t', 1, lines('late'))
    await clock.advance(3000)
    const timedOut = { code: 'TRANSACTION_TIMED_OUT' }
    expect(await rejection(transaction.append('t', 0, lines('late')))).toMatchObject(timedOut)
    expect(await rejection(transaction.commit())).toMatchObject(timedOut)
    expect(await rejection(writer.begin())).toMatchObject(timedOut)
    await write(broker, 't', 0, lines('other'))
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['other'])
  })
})

/** The records of `__transaction_state`, in order. */
async function statesOf(broker: Broker): Promise<(readonly [string, TransactionRecord])[]> {
  const { batches } = await broker.read('__transaction_state', 0, 0, {
    isolation: 'read_committed',
    bytesMax: 1 << 20,
    waitMs: 0,
  })
  return batches.flatMap(({ records }) =>
    Array.from({ length: records.count }, (_, i) => {
      const value = decodeTransactionValue(records.value(i)!)
      return [decodeTransactionKey(records.key(i)!), value] as const
    }),
  )
}
