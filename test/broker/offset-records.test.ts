import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { batchIsControl, batchSize } from '../../broker/batch.ts'
import { batchRecords } from '../../broker/batch-records.ts'
import { GroupOffsets } from '../../broker/groups.ts'
import { decodeOffsetKey, decodeOffsetValue, encodeOffsetKey, encodeOffsetValue } from '../../broker/offset-records.ts'
import { sharedData } from '../support/shared-data.ts'

describe('records of __consumer_offsets', () => {
  test('have the bytes that Kafka writes', () => {
    const key = encodeOffsetKey({ group: 'g', topic: 'tö', partition: 7 })
    expect(key.toString('hex')).toBe('00010001670003' + '74c3b6' + '00000007')
    const value = encodeOffsetValue(5_000_000_000, 'mé', 1_700_000_000_000)
    expect(value.toString('hex')).toBe('0003000000012a05f200ffffffff0003' + '6dc3a9' + '0000018bcfe56800')
  })

  test('come back as they were', () => {
    const key = { group: 'grüße', topic: 'a.b', partition: 2 ** 31 - 1 }
    expect(decodeOffsetKey(encodeOffsetKey(key))).toEqual(key)
    const offset = Number.MAX_SAFE_INTEGER
    expect(decodeOffsetValue(encodeOffsetValue(offset, '', 0))).toEqual({ offset, metadata: '' })
  })

  test('are refused when they are cut anywhere', () => {
    const key = encodeOffsetKey({ group: 'group', topic: 'topic', partition: 1 })
    for (let n = 0; n < key.length; n++)
      expect(() => decodeOffsetKey(key.subarray(0, n)), `${n} bytes`).toThrow(/in the middle/)
    const value = encodeOffsetValue(1, 'metadata', 1)
    for (let n = 0; n < value.length - 8; n++)
      expect(() => decodeOffsetValue(value.subarray(0, n)), `${n} bytes`).toThrow(/in the middle/)
  })

  test('of a version to come are refused by name', () => {
    const value = encodeOffsetValue(1, '', 1)
    value.writeInt16BE(9, 0)
    expect(() => decodeOffsetValue(value)).toThrow(/version 0 to 4, got 9/)
  })
})

describe.each(['4.1.2', '3.9.2'])('the __consumer_offsets of a real Kafka %s', version => {
  const folder = sharedData(`kafka/golden/kafka-${version}/5-internal`)

  test.skipIf(folder === undefined)('decodes to what its own tool says', async () => {
    const log = await readFile(`${folder}/__consumer_offsets-0/00000000000000000000.log`)
    const decoded = await readFile(`${folder}/__consumer_offsets-0.decoded.txt`, 'utf8')
    const expected = new Map(decoded.split('\n').flatMap(line => parseDumpLine(line)))
    const state = new GroupOffsets()
    const seen = new Map<number, unknown>()
    for (let at = 0; at < log.length; at += batchSize(log, at)) {
      if (batchIsControl(log, at)) continue
      const records = await batchRecords(log, at)
      for (let i = 0; i < records.count; i++) {
        seen.set(records.offset(i), ours(records.key(i)!, records.value(i)))
        state.apply(records.key(i)!, records.value(i))
      }
    }
    expect(seen.size).toBeGreaterThan(40)
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(expected))
    expect(state.committed('g-late')).toEqual([{ topic: 'grp', partition: 0, offset: 10, metadata: 'late' }])
    expect(state.committed('g-del')).toEqual([])
  })
})

/** Offset of the record, and what it says of a position; `other` for the kinds we pass over. */
function parseDumpLine(line: string): [number, unknown][] {
  const match = /^\| offset: (\d+) .*? key: (\{.*\}) payload: (.*)$/.exec(line)
  if (match === null) return []
  const key = JSON.parse(match[2]!)
  if (key.type !== '0' && key.type !== '1') return [[Number(match[1]), 'other']]
  if (match[3] === '<DELETE>') return [[Number(match[1]), { ...key.data, value: null }]]
  const { offset, metadata } = JSON.parse(match[3]!).data
  return [[Number(match[1]), { ...key.data, value: { offset, metadata } }]]
}

function ours(key: Buffer, value: Buffer | null): unknown {
  const decoded = decodeOffsetKey(key)
  if (decoded === undefined) return 'other'
  return { ...decoded, value: value === null ? null : decodeOffsetValue(value) }
}
