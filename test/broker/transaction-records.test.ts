import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { batchIsControl, batchSize } from '../../broker/batch.ts'
import { batchRecords } from '../../broker/batch-records.ts'
import {
  decodeTransactionKey,
  decodeTransactionValue,
  encodeTransactionKey,
  encodeTransactionValue,
  type TransactionRecord,
} from '../../broker/transaction-records.ts'
import { sharedData } from '../support/shared-data.ts'

const RECORD: TransactionRecord = {
  producerId: 2 ** 40,
  previousProducerId: -1,
  nextProducerId: -1,
  producerEpoch: 32_766,
  nextProducerEpoch: -1,
  timeoutMs: 60_000,
  state: 'PrepareCommit',
  partitions: [
    { topic: 'a', partitions: [0, 3] },
    { topic: 'grüße', partitions: [1] },
  ],
  updatedAt: 1_700_000_000_000,
  startedAt: 1_699_999_999_000,
  clientVersion: 2,
  durableEnds: [
    { topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 0, end: 5 },
    { topicId: '_____________________w', partition: 3, end: Number.MAX_SAFE_INTEGER },
  ],
}

describe('records of __transaction_state', () => {
  test('come back as they were', () => {
    expect(decodeTransactionKey(encodeTransactionKey('pipe-søurce-0'))).toBe('pipe-søurce-0')
    expect(decodeTransactionValue(encodeTransactionValue(RECORD))).toEqual(RECORD)
    const all = { ...RECORD, previousProducerId: 7, nextProducerId: 9, nextProducerEpoch: 0, durableEnds: [] }
    expect(decodeTransactionValue(encodeTransactionValue(all))).toEqual(all)
  })

  test('are refused when they are cut anywhere', () => {
    const key = encodeTransactionKey('id')
    for (let n = 0; n < key.length; n++)
      expect(() => decodeTransactionKey(key.subarray(0, n)), `${n} bytes`).toThrow(/in the middle/)
    const value = encodeTransactionValue(RECORD)
    for (let n = 0; n < value.length; n++)
      expect(() => decodeTransactionValue(value.subarray(0, n)), `${n} bytes`).toThrow(/in the middle/)
  })

  test('of a version or state to come are refused by name', () => {
    const value = encodeTransactionValue(RECORD)
    value.writeInt16BE(2, 0)
    expect(() => decodeTransactionValue(value)).toThrow(/version 0 or 1, got 2/)
    const state = encodeTransactionValue(RECORD)
    state.writeInt8(9, 16)
    expect(() => decodeTransactionValue(state)).toThrow(/a state that is not known/)
    expect(() => decodeTransactionKey(Buffer.of(0, 1, 0, 0))).toThrow(/version 0, got 1/)
  })
})

interface Told {
  readonly id: string
  readonly producerId: number
  readonly epoch: number
  readonly state: string
  readonly partitions: readonly string[]
  readonly timeoutMs: number
}

describe.each(['4.1.2', '3.9.2'])('the __transaction_state of a real Kafka %s', version => {
  const folder = sharedData(`kafka/golden/kafka-${version}/5-internal`)

  test.skipIf(folder === undefined)(
    'decodes to what its own tool says, and is written again byte for byte',
    async () => {
      const log = await readFile(`${folder}/__transaction_state-0/00000000000000000000.log`)
      const decoded = await readFile(`${folder}/__transaction_state-0.decoded.txt`, 'utf8')
      const expected = decoded.split('\n').flatMap(line => (version === '4.1.2' ? parseJson(line) : parseText(line)))
      const seen: Told[] = []
      for (let at = 0; at < log.length; at += batchSize(log, at)) {
        expect(batchIsControl(log, at)).toBe(false)
        const records = await batchRecords(log, at)
        for (let i = 0; i < records.count; i++) {
          const id = decodeTransactionKey(records.key(i)!)
          expect(encodeTransactionKey(id)).toEqual(Buffer.from(records.key(i)!))
          const value = decodeTransactionValue(records.value(i)!)
          if (version === '4.1.2') expectWrittenAgain(records.value(i)!, value)
          const partitions = value.partitions.flatMap(t => t.partitions.map(p => `${t.topic}-${p}`)).sort()
          const { producerId, producerEpoch: epoch, state, timeoutMs } = value
          seen.push({ id, producerId, epoch, state, partitions, timeoutMs })
        }
      }
      expect(seen.length).toBeGreaterThan(20)
      expect(seen).toEqual(expected)
    },
  )
})

/** Kafka writes null for the partitions of a state that never had any, and we an empty list. */
function expectWrittenAgain(bytes: Buffer, record: TransactionRecord): void {
  const ours = encodeTransactionValue(record)
  if (record.state === 'Empty' && bytes[17] === 0) ours[17] = 0
  expect(ours).toEqual(Buffer.from(bytes))
}

const STATES = ['Empty', 'Ongoing', 'PrepareCommit', 'PrepareAbort', 'CompleteCommit', 'CompleteAbort']

function parseJson(line: string): Told[] {
  const match = /^\| offset: .*? key: (\{.*\}) payload: (\{.*\})$/.exec(line)
  if (match === null) return []
  const { data } = JSON.parse(match[2]!)
  const topics = (data.transactionPartitions ?? []) as { topic: string; partitionIds: number[] }[]
  return [
    {
      id: JSON.parse(match[1]!).data.transactionalId,
      producerId: data.producerId,
      epoch: data.producerEpoch,
      state: STATES[data.transactionStatus]!,
      partitions: topics.flatMap(t => t.partitionIds.map(p => `${t.topic}-${p}`)).sort(),
      timeoutMs: data.transactionTimeoutMs,
    },
  ]
}

function parseText(line: string): Told[] {
  const match =
    /transactionalId=(\S+) payload: producerId:(\d+),producerEpoch:(\d+),state=(\w+),partitions=\[(.*?)\],.*txnTimeoutMs=(\d+)/.exec(
      line,
    )
  if (match === null) return []
  const [, id, producerId, epoch, state, partitions, timeoutMs] = match
  return [
    {
      id: id!,
      producerId: Number(producerId),
      epoch: Number(epoch),
      state: state!,
      partitions: partitions!.split(/,\s*/).filter(Boolean).sort(),
      timeoutMs: Number(timeoutMs),
    },
  ]
}
