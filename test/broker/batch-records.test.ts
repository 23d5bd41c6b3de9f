import { describe, expect, test } from 'vitest'
import { type CodecName, loadCodec, PackedWriter } from '../../base/index.ts'
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

test('what a batch may unpack to grows with its bytes, between bounds', () => {
  expect(unpackedBytesMax(10)).toBe(64 << 20)
  expect(unpackedBytesMax(2 << 20)).toBe(128 << 20)
  expect(unpackedBytesMax(1 << 30)).toBe(512 << 20)
})
