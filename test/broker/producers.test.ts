import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { loadCodec, ManualClock, packRecords } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import { batchBaseOffset, batchIsControl, batchSize, sequenceAfter, writeBatchCodec } from '../../broker/batch.ts'
import { BatchWriter } from '../../broker/batch-writer.ts'
import type { Partition } from '../../broker/partition.ts'
import { decodeSnapshot, encodeSnapshot } from '../../broker/producer-snapshot.ts'
import { Producers } from '../../broker/producers.ts'
import { expectedOf, golden, openPartition, plainRecords, SETTINGS, temporaryDirectory } from '../support/golden.ts'

const DIRECTORY = '/d/log-0'
const TIME = 1_700_000_000_000
const settings = { ...SETTINGS, codec: 'producer' as const }

function memory(): MemoryFiles {
  return new MemoryFiles(new SeededRandom(1))
}

interface BatchParts {
  readonly id?: number
  readonly epoch?: number
  readonly sequence: number
  readonly count?: number
  readonly transactional?: boolean
  readonly control?: boolean
}

/** A batch as an idempotent client would send it. */
async function clientBatch(parts: BatchParts): Promise<Buffer> {
  const { id = 7, epoch = 0, sequence, count = 1, transactional = false, control = false } = parts
  const writer = new BatchWriter(Buffer.alloc(1 << 16))
  writer.start(1 << 16, TIME)
  writer.add(packRecords(Array.from({ length: count }, (_, i) => ({ value: `${id} ${sequence + i}` }))), 0)
  const producer = { id, epoch, baseSequence: sequence, transactional, control }
  const { buffers } = await writer.finish(0, -1, await loadCodec('none'), undefined, producer)
  return Buffer.from(Buffer.concat(buffers))
}

async function committedValues(partition: Partition): Promise<string[]> {
  const values: string[] = []
  for (let offset = partition.logStartOffset; offset < partition.lastStableOffset; ) {
    const read = await partition.read(offset, 1 << 16, 'read_committed')
    for (const records of read.batches) {
      for (let i = 0; i < records.count; i++) values.push(records.value(i)!.toString())
    }
    expect(read.nextOffset).toBeGreaterThan(offset)
    offset = read.nextOffset
  }
  return values
}

function batchesIn(path: string): Buffer[] {
  const bytes = readFileSync(path)
  const batches: Buffer[] = []
  for (let at = 0; at < bytes.length; at += batchSize(bytes, at)) {
    batches.push(Buffer.from(bytes.subarray(at, at + batchSize(bytes, at))))
  }
  return batches
}

describe('batches as clients encode them', () => {
  test('are stored at the next offset, and the last five of a producer are recognised when they come again', async () => {
    const partition = await openPartition(DIRECTORY, { files: memory(), settings })
    const batches: Buffer[] = []
    for (let i = 0; i < 6; i++) {
      batches.push(await clientBatch({ sequence: 2 * i, count: 2 }))
      expect(await partition.appendEncoded(Buffer.from(batches[i]!))).toMatchObject({
        baseOffset: 2 * i,
        duplicate: false,
      })
    }
    for (let i = 1; i < 6; i++) {
      const again = await partition.appendEncoded(Buffer.from(batches[i]!))
      expect(again).toEqual({ baseOffset: 2 * i, lastOffset: 2 * i + 1, duplicate: true })
    }
    const sixth = partition.appendEncoded(Buffer.from(batches[0]!))
    await expect(sixth).rejects.toMatchObject({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER', details: { expected: 12 } })
    const gap = partition.appendEncoded(await clientBatch({ sequence: 13 }))
    await expect(gap).rejects.toMatchObject({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' })
    expect(partition.nextOffset).toBe(12)
    await partition.close()
  })

  test('begin anew at 0 with a higher epoch, which fences the lower one', async () => {
    const partition = await openPartition(DIRECTORY, { files: memory(), settings })
    await partition.appendEncoded(await clientBatch({ sequence: 40 }))
    const late = partition.appendEncoded(await clientBatch({ epoch: 1, sequence: 41 }))
    await expect(late).rejects.toMatchObject({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' })
    await partition.appendEncoded(await clientBatch({ epoch: 1, sequence: 0 }))
    const old = partition.appendEncoded(await clientBatch({ sequence: 41 }))
    await expect(old).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
    expect(partition.producerEpochs()).toEqual(new Map([[7, 1]]))
    await partition.close()
  })

  test('go on at 0 behind the last sequence number there is', async () => {
    const partition = await openPartition(DIRECTORY, { files: memory(), settings })
    const last = 2 ** 31 - 2
    await partition.appendEncoded(await clientBatch({ sequence: last, count: 4 }))
    await partition.appendEncoded(await clientBatch({ sequence: 2 }))
    expect(sequenceAfter(last, 4)).toBe(2)
    const again = await partition.appendEncoded(await clientBatch({ sequence: last, count: 4 }))
    expect(again).toEqual({ baseOffset: 0, lastOffset: 3, duplicate: true })
    await partition.close()
  })

  test('are refused when a byte was altered, when the header lies, and above max.message.bytes', async () => {
    const small = { ...settings, maxMessageBytes: 200 }
    const partition = await openPartition(DIRECTORY, { files: memory(), settings: small })
    const batch = await clientBatch({ sequence: 0, count: 3 })
    for (let at = 16; at < batch.length; at++) {
      const altered = Buffer.from(batch)
      altered[at]! ^= 1
      await expect(partition.appendEncoded(altered), `byte ${at}`).rejects.toMatchObject({ code: 'CORRUPT_MESSAGE' })
    }
    await expect(partition.appendEncoded(batch.subarray(0, 70))).rejects.toMatchObject({ code: 'CORRUPT_MESSAGE' })
    const two = Buffer.concat([batch, batch])
    await expect(partition.appendEncoded(two)).rejects.toMatchObject({ code: 'CORRUPT_MESSAGE' })
    const lie = (change: (bytes: Buffer) => void) => {
      const lying = Buffer.from(batch)
      change(lying)
      // Computes the checksum anew.
      writeBatchCodec(lying, 0, 0)
      return expect(partition.appendEncoded(lying)).rejects.toMatchObject({ code: 'INVALID_RECORD' })
    }
    await lie(bytes => bytes.writeInt32BE(3, 23))
    await lie(bytes => bytes.writeInt32BE(-1, 53))
    await lie(bytes => bytes.writeBigInt64BE(BigInt(TIME + 1), 35))
    await lie(bytes => bytes.writeInt16BE(0x08, 21))
    const control = await clientBatch({ sequence: 0, transactional: true, control: true })
    await expect(partition.appendEncoded(control)).rejects.toMatchObject({ code: 'INVALID_RECORD' })
    const large = partition.appendEncoded(await clientBatch({ sequence: 0, count: 40 }))
    await expect(large).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    expect([partition.nextOffset, partition.sizeBytes]).toEqual([0, 0])
    await partition.close()
  })

  test("take the topic's codec, and the time of their append where it says so", async () => {
    const zstd = { ...SETTINGS, codec: 'zstd' as const, timestampType: 'LogAppendTime' as const }
    const clock = new ManualClock(TIME + 5)
    const partition = await openPartition(DIRECTORY, { files: memory(), settings: zstd, clock })
    await partition.appendEncoded(await clientBatch({ sequence: 0, count: 3 }))
    await partition.sync()
    const { batches } = await partition.read(0, 1 << 16, 'read_uncommitted')
    expect(plainRecords(batches).map(r => r[1])).toEqual([TIME + 5, TIME + 5, TIME + 5])
    expect(await partition.offsetForTime(TIME + 5)).toBe(0)
    await partition.close()
  })

  describe.skipIf(golden === undefined)("that Kafka's brokers stored", () => {
    const folders = ['none', 'gzip', 'snappy', 'lz4', 'zstd'].map(codec => `codec-${codec}`)
    test.each([...folders, 'noidem'])('%s come out byte for byte, and a second time as duplicates', async topic => {
      const theirs = join(golden!, 'kafka-4.1.2/1-codecs', `${topic}-0`, '00000000000000000000.log')
      const directory = temporaryDirectory(onTestFinished)
      const partition = await openPartition(directory, { settings })
      const batches = batchesIn(theirs)
      for (const batch of batches) {
        const baseOffset = batchBaseOffset(batch, 0)
        expect(await partition.appendEncoded(Buffer.from(batch))).toMatchObject({ baseOffset, duplicate: false })
      }
      if (topic !== 'noidem') {
        for (const batch of batches.slice(-5)) {
          const baseOffset = batchBaseOffset(batch, 0)
          expect(await partition.appendEncoded(Buffer.from(batch))).toMatchObject({ baseOffset, duplicate: true })
        }
        const old = partition.appendEncoded(Buffer.from(batches.at(-6)!))
        await expect(old).rejects.toMatchObject({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' })
      }
      await partition.close()
      expect(readFileSync(join(directory, '00000000000000000000.log')).equals(readFileSync(theirs))).toBe(true)
    })

    test.each(['kafka-4.1.2', 'kafka-3.9.2'])('with transactions, the files of %s come out the same', async version => {
      const source = join(golden!, version, '2-txn/txn-0')
      const directory = temporaryDirectory(onTestFinished)
      const clock = new ManualClock(TIME)
      // Kafka rolls by record time, and a marker of today comes behind records of 2023.
      const never = Number.MAX_SAFE_INTEGER
      const partition = await openPartition(directory, { clock, settings, producerIdExpirationMs: never })
      const logs = readdirSync(source).filter(name => name.endsWith('.log'))
      for (const batch of logs.flatMap(name => batchesIn(join(source, name)))) {
        if (!batchIsControl(batch, 0)) {
          const appended = await partition.appendEncoded(Buffer.from(batch))
          expect(appended.baseOffset).toBe(batchBaseOffset(batch, 0))
          continue
        }
        clock.advance(Number(batch.readBigInt64BE(35)) - clock.now())
        const producer = { id: Number(batch.readBigInt64BE(43)), epoch: batch.readInt16BE(51) }
        await partition.endTransaction(producer, batch.readInt16BE(68) === 1 ? 'commit' : 'abort')
      }
      expect(partition.openTransactions()).toEqual([])
      await partition.sync()
      expect(partition.lastStableOffset).toBe(expectedOf(`${version}/2-txn/txn`, 0).end)
      await partition.close()
      for (const name of readdirSync(source)) {
        if (!/\.(log|index|timeindex|txnindex|snapshot)$/.test(name)) continue
        expect(existsSync(join(directory, name)), name).toBe(true)
        const ours = readFileSync(join(directory, name))
        expect(ours.toString('hex'), name).toBe(readFileSync(join(source, name)).toString('hex'))
      }
    })
  })
})

describe('transactions', () => {
  const producer = { id: 1, epoch: 0 }
  const lines = (...values: string[]) => [packRecords(values.map(value => ({ value, timestamp: TIME })))]

  test('hold back what lies behind them until their end is decided, which is before the marker is durable', async () => {
    const partition = await openPartition(DIRECTORY, { files: memory() })
    let heard = 0
    partition.onAdvance(() => heard++, 'read_uncommitted')
    await partition.append(lines('a'), { producer })
    await partition.append(lines('plain'))
    await partition.sync()
    expect([partition.highWatermark, partition.lastStableOffset, heard]).toEqual([2, 0, 1])
    expect(await committedValues(partition)).toEqual([])
    expect((await partition.read(0, 1000, 'read_uncommitted')).batches).toHaveLength(2)
    const ended = partition.endTransaction({ id: 1, epoch: 1 }, 'commit')
    expect([partition.lastStableOffset, heard]).toEqual([2, 2])
    expect(await committedValues(partition)).toEqual(['a', 'plain'])
    await ended
    expect([partition.nextOffset, partition.highWatermark]).toEqual([3, 2])
    expect(partition.openTransactions()).toEqual([])
    await partition.endTransaction({ id: 1, epoch: 1 }, 'commit')
    expect(partition.nextOffset).toBe(3)
    await partition.close()
  })

  test('that are aborted are seen by nobody who minds, from the call on and after restarts of every kind', async () => {
    const files = memory()
    const small = { ...SETTINGS, segmentBytes: 150 }
    let partition = await openPartition(DIRECTORY, { files, settings: small })
    await partition.append(lines('a', 'b'), { producer })
    await partition.append(lines('kept'))
    await partition.append(lines('c'), { producer })
    await partition.sync()
    const ended = partition.endTransaction({ id: 1, epoch: 1 }, 'abort')
    expect(await committedValues(partition)).toEqual(['kept'])
    await ended
    await partition.append(lines('next'), { producer: { id: 1, epoch: 1 } })
    await partition.endTransaction({ id: 1, epoch: 2 }, 'commit')
    await partition.sync()
    expect(partition.abortedTransactions()).toMatchObject([{ producerId: 1, firstOffset: 0, lastOffset: 4 }])
    for (const clean of [true, false]) {
      await partition.close()
      partition = await openPartition(DIRECTORY, { files, settings: small, clean })
      expect(await committedValues(partition)).toEqual(['kept', 'next'])
      expect(partition.producerEpochs()).toEqual(new Map([[1, 2]]))
    }
    await partition.close()
  })

  test('are fenced by a newer epoch, and take nothing once their end is decided', async () => {
    const inner = new FaultyFiles(memory())
    const partition = await openPartition(DIRECTORY, { files: inner })
    await partition.append(lines('a'), { producer: { id: 1, epoch: 4 } })
    const old = partition.append(lines('b'), { producer })
    await expect(old).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
    await expect(partition.endTransaction(producer, 'commit')).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
    const clear = inner.fail({ call: 'write', error: 'ENOSPC', partialBytes: 20, times: Number.POSITIVE_INFINITY })
    const end = () => partition.endTransaction({ id: 1, epoch: 5 }, 'abort')
    await expect(end()).rejects.toMatchObject({ code: 'DISK_FULL' })
    clear()
    const late = partition.append(lines('c'), { producer: { id: 1, epoch: 4 } })
    await expect(late).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
    // What was decided first stays.
    await partition.endTransaction({ id: 1, epoch: 5 }, 'commit')
    await partition.sync()
    expect(partition.abortedTransactions()).toHaveLength(1)
    expect(await committedValues(partition)).toEqual([])
    await partition.close()
  })

  test('whose append met a full disk go on with the sequence numbers that they had', async () => {
    const inner = new FaultyFiles(memory())
    const small = { ...SETTINGS, segmentBytes: 300 }
    const partition = await openPartition(DIRECTORY, { files: inner, settings: small })
    const many = Array.from({ length: 3 }, (_, i) => lines('x'.repeat(200), String(i))[0]!)
    await partition.append(lines('a'), { producer })
    for (let nth = 1; nth < 40; nth++) {
      const clear = inner.fail({ call: nth % 2 === 0 ? 'write' : 'open', error: 'ENOSPC', nth: (nth >> 1) + 1 })
      const before = partition.nextOffset
      const appended = await partition.append(many, { producer }).catch(error => error as { code: string })
      clear()
      if ('code' in appended) {
        expect(appended.code).toBe('DISK_FULL')
        expect(partition.nextOffset).toBe(before)
      }
    }
    await partition.append(lines('z'), { producer })
    await partition.endTransaction({ id: 1, epoch: 1 }, 'commit')
    await partition.sync()
    expect(partition.recovered.truncatedBytes).toBe(0)
    const count = partition.nextOffset
    await partition.close()
    const again = await openPartition(DIRECTORY, { files: inner, settings: small })
    expect(again.nextOffset).toBe(count)
    expect((await committedValues(again)).length).toBe(count - 1)
    await again.close()
  })

  test('over several segments are known after a restart from any snapshot, or from none', async () => {
    const files = memory()
    const small = { ...SETTINGS, segmentBytes: 200 }
    const partition = await openPartition(DIRECTORY, { files, settings: small })
    for (let i = 0; i < 12; i++) await partition.append(lines(`t${i % 3} ${i}`), { producer: { id: i % 3, epoch: 0 } })
    await partition.endTransaction({ id: 1, epoch: 1 }, 'abort')
    await partition.endTransaction({ id: 2, epoch: 1 }, 'commit')
    await partition.sync()
    const snapshots = () => files.list(DIRECTORY).then(names => names.filter(name => name.endsWith('.snapshot')).sort())
    await partition.close()
    while ((await snapshots()).length > 0) {
      const again = await openPartition(DIRECTORY, { files, settings: small, clean: true })
      expect(again.openTransactions()).toEqual([{ producerId: 0, epoch: 0, firstOffset: 0, undecidable: false }])
      expect(again.abortedTransactions()).toMatchObject([{ producerId: 1, firstOffset: 1, lastOffset: 12 }])
      expect(again.lastStableOffset).toBe(0)
      // Not closed: that would write a new one.
      await files.unlink(`${DIRECTORY}/${(await snapshots()).at(-1)}`)
    }
  })
})

test('a raised start hides what lies below inside a segment, in look-ups by time too, and is handed in again', async () => {
  const files = memory()
  const partition = await openPartition(DIRECTORY, { files })
  for (let i = 0; i < 6; i++) await partition.append([packRecords([{ value: String(i), timestamp: TIME + i }])])
  await expect(partition.raiseStart(3)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  await partition.sync()
  expect(await partition.raiseStart(3)).toBe(3)
  expect(await partition.raiseStart(2)).toBe(3)
  await expect(partition.read(2, 1000, 'read_committed')).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  expect(await partition.offsetForTime(TIME + 1)).toBe(3)
  expect(await committedValues(partition)).toEqual(['3', '4', '5'])
  await partition.close()
  const again = await openPartition(DIRECTORY, { files, startOffset: 4 })
  expect(await committedValues(again)).toEqual(['4', '5'])
  await again.close()
  // What has been deleted never comes back under the same offsets, even where the log has lost its end.
  const lost = await openPartition(DIRECTORY, { files, startOffset: 20 })
  expect([lost.logStartOffset, lost.nextOffset]).toEqual([20, 20])
  await lost.append([packRecords([{ value: 'x', timestamp: TIME }])])
  await lost.sync()
  expect(await committedValues(lost)).toEqual(['x'])
  await lost.close()
})

describe('snapshots of the producers', () => {
  test('are kept at segment bases and at the end, as Kafka keeps them, and taken at recovery points', async () => {
    const files = memory()
    const small = { ...SETTINGS, segmentBytes: 200 }
    const partition = await openPartition(DIRECTORY, { files, settings: small, producerIdExpirationMs: 2 ** 52 })
    for (let i = 0; i < 9; i++) {
      await partition.append([packRecords([{ value: `record ${i}`, timestamp: TIME }])], {
        producer: { id: 3, epoch: 0 },
      })
      if (i < 4) await partition.snapshotProducers()
    }
    expect([partition.recoveryPoint, partition.highWatermark]).toEqual([8, 4])
    await partition.snapshotProducers()
    expect([partition.recoveryPoint, partition.highWatermark]).toEqual([9, 9])
    const bases = partition.segments().map(segment => segment.baseOffset)
    await partition.close()
    const kept = (await files.list(DIRECTORY))
      .filter(name => name.endsWith('.snapshot'))
      .map(name => Number(name.slice(0, 20)))
    expect(kept.sort((a, b) => a - b)).toEqual([...new Set([...bases.slice(1), 3, 9])].sort((a, b) => a - b))
  })

  test('come back as they were, and are refused when any byte of them was altered', () => {
    const producers = new Producers('log-0')
    const batch = { firstSequence: 2 ** 31 - 1, lastSequence: 1, baseOffset: 10, lastOffset: 12, timestamp: TIME }
    producers.observe({ id: 5, epoch: 3 }, { ...batch, transactional: true })
    const states = producers.all()
    const bytes = encodeSnapshot(states)
    expect(decodeSnapshot(bytes, 13)).toEqual(states)
    expect(decodeSnapshot(bytes, 12)).toBeUndefined()
    for (let at = 0; at < bytes.length; at++) {
      const altered = Buffer.from(bytes)
      altered[at]! ^= 0x40
      expect(decodeSnapshot(altered, 13), `byte ${at}`).toBeUndefined()
      expect(decodeSnapshot(bytes.subarray(0, at), 13)).toBeUndefined()
    }
  })

  test('forget producers that are silent for longer than a day of record time, and none with an open transaction', () => {
    const producers = new Producers('log-0')
    const batch = { firstSequence: 0, lastSequence: 0, baseOffset: 0, lastOffset: 0, timestamp: TIME }
    producers.observe({ id: 1, epoch: 0 }, { ...batch, transactional: false })
    producers.observe({ id: 2, epoch: 0 }, { ...batch, transactional: true })
    producers.expire(TIME + 86_399_999, 86_400_000)
    expect(producers.size).toBe(2)
    producers.expire(TIME + 86_400_000, 86_400_000)
    expect(producers.all().map(p => p.id)).toEqual([2])
  })
})
