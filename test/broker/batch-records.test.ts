import { describe, expect, test } from 'vitest'
import { type CodecName, encodeHeaders, loadCodec, PackedRecords, PackedWriter } from '../../base/index.ts'
import { batchRecords, unpackedBytesMax } from '../../broker/batch-records.ts'
import { BatchWriter } from '../../broker/batch-writer.ts'

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const satisfies readonly CodecName[]

describe.each(CODECS)('a batch in %s', name => {
  test('gives back its records', async () => {
    const values = Array.from({ length: 500 }, (_, i) => `line ${i} ${'x'.repeat(i)}`)
    const packed = new PackedWriter()
    for (const [i, value] of values.entries()) packed.add(Buffer.from(`k${i}`), Buffer.from(value), undefined, 1000 + i)
    const writer = new BatchWriter(Buffer.alloc(1 << 20))
    writer.start(1 << 20, 0)
    writer.add(packed.build(), 0)
    const { buffers } = await writer.finish(7, 0, await loadCodec(name))
    const records = await batchRecords(Buffer.concat(buffers), 0)
    expect(records.count).toBe(500)
    expect(Array.from({ length: 500 }, (_, i) => records.value(i)!.toString())).toEqual(values)
    expect(records.offset(499)).toBe(506)
    expect(records.timestamp(3)).toBe(1003)
  })
})

test('records that share a block of headers have it each, over the end of a batch too', async () => {
  const blocks = ['shared by many', 'x'].map(text => encodeHeaders([{ key: 'h', value: Buffer.from(text) }]))
  const [shared, other] = blocks as [Buffer, Buffer]
  const bytes = Buffer.concat([Buffer.from('value'), shared, other])
  const otherAt = 5 + shared.length
  const at = [5, 5, otherAt, -1, 5, 5, otherAt, otherAt]
  const records = new PackedRecords({
    count: at.length,
    bytes,
    valueStarts: new Int32Array(at.length),
    valueEnds: new Int32Array(at.length).fill(5),
    headerStarts: Int32Array.from(at),
    headerEnds: Int32Array.from(at, start => (start === 5 ? otherAt : start === otherAt ? bytes.length : -1)),
    timestamps: -1,
  })
  const writer = new BatchWriter(Buffer.alloc(200))
  const found: (string | undefined)[] = []
  for (let from = 0; from < at.length; ) {
    writer.start(200, 0)
    from = writer.add(records, from)
    const { buffers } = await writer.finish(0, 0, await loadCodec('none'))
    const read = await batchRecords(Buffer.concat(buffers), 0)
    for (let i = 0; i < read.count; i++) found.push(read.headerBlock(i)?.toString())
  }
  expect(found).toEqual(at.map(start => (start < 0 ? undefined : (start === 5 ? shared : other).toString())))
})

test('what a batch may unpack to grows with its bytes, between bounds', () => {
  expect(unpackedBytesMax(10)).toBe(64 << 20)
  expect(unpackedBytesMax(2 << 20)).toBe(128 << 20)
  expect(unpackedBytesMax(1 << 30)).toBe(512 << 20)
})
