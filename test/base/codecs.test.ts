import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CODEC_NAMES, codecById, loadCodec, zstdContentSize } from '../../base/codecs.ts'

describe.each(CODEC_NAMES)('codec %s', name => {
  test('gives back what it took, for any bytes', async () => {
    const codec = await loadCodec(name)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async bytes => {
        const out = await codec.decompress(await codec.compress(bytes), 5000)
        expect(Buffer.compare(out, bytes)).toBe(0)
      }),
      { numRuns: 50, seed: 1 },
    )
  })

  test('is found by its number in the batch attributes', async () => {
    const codec = await loadCodec(name)
    expect(await codecById(codec.id)).toBe(codec)
  })
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('%s: a bomb is refused without being unpacked', async name => {
  const codec = await loadCodec(name)
  const bomb = await codec.compress(Buffer.alloc(64 << 20))
  await expect(codec.decompress(bomb, 1 << 20)).rejects.toMatchObject({ code: 'CORRUPT_MESSAGE' })
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
  '%s: bytes that are not its format are named corrupt',
  async name => {
    const codec = await loadCodec(name)
    await expect(codec.decompress(Buffer.from('not compressed at all'), 1 << 20)).rejects.toMatchObject({
      code: 'CORRUPT_MESSAGE',
    })
    const half = (await codec.compress(Buffer.alloc(100_000, 'abc'))).subarray(0, 20)
    await expect(codec.decompress(half, 1 << 20)).rejects.toMatchObject({ code: 'CORRUPT_MESSAGE' })
  },
)

test('gzip output is a plain gzip member', async () => {
  const codec = await loadCodec('gzip')
  expect(gunzipSync(await codec.compress(Buffer.from('line\n'))).toString()).toBe('line\n')
})

test('the declared size of a zstd frame is read without decompressing', async () => {
  const codec = await loadCodec('zstd')
  for (const size of [0, 1, 255, 256, 70_000, 1 << 20]) {
    expect(zstdContentSize(await codec.compress(Buffer.alloc(size)))).toBe(size)
  }
})

test('a number that is no codec of Kafka is named', async () => {
  await expect(codecById(5)).rejects.toMatchObject({ code: 'UNSUPPORTED_COMPRESSION_TYPE' })
})
