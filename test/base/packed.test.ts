import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeHeaders, encodeHeaders } from '../../base/headers.ts'
import { PackedWriter, packRecords } from '../../base/packed-writer.ts'
import { VarintReader, varintSize, varlongSize, writeVarint, writeVarlong } from '../../base/varint.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map(b => Buffer.from(b))
const header = fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 8 }), value: fc.option(bytes) })
const record = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(header, { maxLength: 3 }),
  timestamp: fc.integer({ min: -1, max: 2 ** 45 }),
})

test('packed records give back every part of every record, and null is not empty', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 200 }), records => {
      const packed = packRecords(records)
      expect(packed.count).toBe(records.length)
      records.forEach((r, i) => {
        expect(packed.key(i)).toEqual(r.key)
        expect(packed.value(i)).toEqual(r.value)
        expect(packed.timestamp(i)).toBe(r.timestamp)
        const block = packed.headerBlock(i)
        expect(block === undefined ? [] : decodeHeaders(block)).toEqual(r.headers)
      })
    }),
    { numRuns: 100, seed: 2 },
  )
})

test('a discarded record leaves no trace in the ones around it', () => {
  const writer = new PackedWriter()
  writer.add(Buffer.from('k1'), Buffer.from('v1'), [{ key: 'h', value: Buffer.from('x') }], 1)
  writer.append(Buffer.from('half a key'))
  writer.endKey()
  writer.appendUtf8('half a value')
  writer.discard()
  writer.add(null, Buffer.from('v2'), undefined, 2)
  const packed = writer.build()
  expect(packed.count).toBe(2)
  expect(packed.key(0)?.toString()).toBe('k1')
  expect(packed.key(1)).toBeNull()
  expect(packed.value(1)?.toString()).toBe('v2')
  expect(packed.headerBlock(1)).toBeUndefined()
})

test('a slice shows the same records at the same offsets', () => {
  const packed = packRecords(['a', 'b', 'c'].map(value => ({ key: value, value, timestamp: 5 })))
  const slice = packed.slice(1, 3)
  expect([slice.value(0)?.toString(), slice.key(1)?.toString(), slice.count]).toEqual(['b', 'c', 2])
})

test('varints round-trip at every size and take the bytes they say', () => {
  const buffer = Buffer.alloc(10)
  fc.assert(
    fc.property(fc.integer(), value => {
      const end = writeVarint(buffer, 0, value)
      expect(end).toBe(varintSize(value))
      expect(new VarintReader(buffer).int()).toBe(value)
    }),
    { seed: 3 },
  )
  fc.assert(
    fc.property(fc.maxSafeInteger(), value => {
      const end = writeVarlong(buffer, 0, value)
      expect(end).toBe(varlongSize(value))
      expect(new VarintReader(buffer).long()).toBe(value)
    }),
    { seed: 4 },
  )
})

test('hostile header blocks are refused', () => {
  const good = encodeHeaders([{ key: 'name', value: Buffer.from('value') }])
  for (let cut = 0; cut < good.length; cut++) expect(() => decodeHeaders(good.subarray(0, cut))).toThrow(/headers/)
  expect(() => decodeHeaders(Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f]))).toThrow(/headers/)
  expect(() => new VarintReader(Buffer.alloc(12, 0xff)).int()).toThrow(RangeError)
})
