import fc from 'fast-check'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync, uncompressSync } from 'snappy'
import { describe, expect, test } from 'vitest'
import { loadCodec } from '../../base/codecs.ts'
import { xxhash32 } from '../../base/codecs/xxhash32.ts'
import { randomInt, SeededRandom } from '../../base/random.ts'

const SEED = 20251121
const SIZE_MAX = 1 << 20
const CORRUPT = { code: 'CORRUPT_MESSAGE' }

/** Bytes as batches have them: repeated words, runs, noise, of any length around the sizes of blocks. */
const content = fc
  .record({
    seed: fc.integer(),
    length: fc.oneof(fc.integer({ max: 200, min: 0 }), fc.integer({ min: 30_000, max: 140_000 })),
    noise: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ seed, length, noise }) => {
    const random = new SeededRandom(seed)
    const bytes = Buffer.alloc(length)
    const words = Array.from({ length: 20 }, (_, i) => Buffer.alloc(1 + i * 5, `word-${i}-`))
    for (let at = 0; at < length; ) {
      if (randomInt(random, 100) < noise) bytes[at++] = randomInt(random, 256)
      else at += words[randomInt(random, 20)]!.copy(bytes, at)
    }
    return bytes
  })

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe.each(['snappy', 'lz4'] as const)('%s', name => {
  test('gives back what it took, around every size of block', async () => {
    const codec = await loadCodec(name)
    await fc.assert(
      fc.asyncProperty(content, async bytes => {
        const out = await codec.decompress(await codec.compress(bytes), bytes.length)
        expect(Buffer.compare(out, bytes)).toBe(0)
      }),
      { numRuns: 150, seed: SEED },
    )
  })

  test('refuses damage with CORRUPT_MESSAGE and nothing else, never above the size asked for', async () => {
    const codec = await loadCodec(name)
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(content, damage, fc.nat(), async (bytes, flips, cut) => {
        const packed = Buffer.from(await codec.compress(bytes))
        for (const [at, value] of flips) packed[at % packed.length] = value
        const given = cut % 3 === 0 ? packed.subarray(0, cut % packed.length) : packed
        const out = await codec.decompress(given, bytes.length).catch(error => error as { code: string })
        if (Buffer.isBuffer(out)) expect(out.length).toBeLessThanOrEqual(bytes.length)
        else expect(out).toMatchObject(CORRUPT)
      }),
      { numRuns: 1500, seed: SEED },
    )
  })

  test('refuses bytes of no meaning, and never allocates more than they could unpack to', async () => {
    const codec = await loadCodec(name)
    const header = await codec.compress(Buffer.alloc(0))
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.uint8Array({ maxLength: 300 }), async (framed, bytes) => {
        const given = framed ? Buffer.concat([header.subarray(0, name === 'lz4' ? 7 : 16), bytes]) : Buffer.from(bytes)
        const before = process.memoryUsage().arrayBuffers
        const out = await codec.decompress(given, 1 << 30).catch(error => error as { code: string })
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20)
        if (!Buffer.isBuffer(out)) expect(out).toMatchObject(CORRUPT)
      }),
      { numRuns: 3000, seed: SEED },
    )
  })
})

describe('snappy', () => {
  test('reads the raw blocks of the native library', async () => {
    const codec = await loadCodec('snappy')
    await fc.assert(
      fc.asyncProperty(content, async bytes => {
        const out = await codec.decompress(compressSync(bytes, { copyOutputData: true }), bytes.length)
        expect(Buffer.compare(out, bytes)).toBe(0)
      }),
      { numRuns: 100, seed: SEED },
    )
  })

  test('writes the header and blocks of 32 KiB of snappy-java, which the native library reads', async () => {
    const bytes = Buffer.alloc(70_000, 'a line of a log\n')
    const framed = await (await loadCodec('snappy')).compress(bytes)
    expect(framed.subarray(0, 16)).toEqual(hex('82534e4150505900 00000001 00000001'))
    const lengths: number[] = []
    for (let at = 16; at < framed.length; at += 4 + framed.readInt32BE(at)) {
      const block = framed.subarray(at + 4, at + 4 + framed.readInt32BE(at))
      lengths.push((uncompressSync(block, { asBuffer: true, copyOutputData: true }) as Buffer).length)
    }
    expect(lengths).toEqual([32_768, 32_768, 4464])
  })

  test('reads framed streams one behind the other', async () => {
    const codec = await loadCodec('snappy')
    const two = Buffer.concat([await codec.compress(Buffer.from('one')), await codec.compress(Buffer.from('two'))])
    expect((await codec.decompress(two, 6)).toString()).toBe('onetwo')
  })

  test.each([
    ['a length that the bytes cannot hold', 'ffffffff0f 00'],
    ['a length of more than 32 bits', 'ffffffffff7f'],
    ['a framed block with a hostile length', '82534e4150505900 00000001 00000001 7fffffff 00'],
    ['a framed block with a negative length', '82534e4150505900 00000001 00000001 ffffffff'],
    ['a newer framing', '82534e4150505900 00000009 00000009'],
    ['a copy of what is not there yet', '04 0000 0101'],
    ['a copy from 0 bytes before', '08 0061 0100'],
    ['less than it promised', '03 0061'],
    ['a header that is cut', '82534e4150505900 0000'],
  ])('refuses %s', async (_, bytes) => {
    await expect((await loadCodec('snappy')).decompress(hex(bytes), SIZE_MAX)).rejects.toMatchObject(CORRUPT)
  })
})

describe('lz4', () => {
  test('writes frames that the native library reads, and reads its frames with every checksum', async () => {
    const codec = await loadCodec('lz4')
    await fc.assert(
      fc.asyncProperty(content, fc.boolean(), fc.boolean(), async (bytes, contentChecksum, blockChecksums) => {
        const theirs = compressFrameSync(bytes, { contentChecksum, blockChecksums })
        expect(Buffer.compare(await codec.decompress(theirs, bytes.length), bytes)).toBe(0)
        if (bytes.length > 0) expect(Buffer.compare(decompressFrameSync(await codec.compress(bytes)), bytes)).toBe(0)
      }),
      { numRuns: 100, seed: SEED },
    )
  })

  test("writes Kafka's frame header: independent blocks of 64 KiB, nothing else", async () => {
    const frame = await (await loadCodec('lz4')).compress(Buffer.alloc(100_000, 'x'))
    expect(frame.subarray(0, 7)).toEqual(hex('04224d18 60 40 82'))
    expect(frame.subarray(-4)).toEqual(hex('00000000'))
  })

  /** A block of 16 literals, and one that copies them from the block before. */
  const blocks = `12000000 f001 ${'61'.repeat(15)}62`
  const linked = `${blocks} 0a000000 0f 1000 00 50 7878787878`

  /** With the header checksum that belongs to `descriptor`. */
  const frameOf = (descriptor: string, rest: string) => {
    const check = (xxhash32(hex(descriptor)) >>> 8) & 0xff
    return Buffer.concat([hex('04224d18'), hex(descriptor), Buffer.from([check]), hex(rest)])
  }

  test('reads linked blocks, and refuses them where the frame says that they are independent', async () => {
    const codec = await loadCodec('lz4')
    const out = await codec.decompress(frameOf('40 40', `${linked} 00000000`), SIZE_MAX)
    expect(out.toString()).toBe(`${'a'.repeat(15)}b${'a'.repeat(15)}baaaxxxxx`)
    await expect(codec.decompress(frameOf('60 40', `${linked} 00000000`), SIZE_MAX)).rejects.toMatchObject(CORRUPT)
  })

  test('reads a block of 4 MiB', async () => {
    const bytes = Buffer.alloc(4 << 20, 'z')
    const stored = Buffer.concat([hex('00004080'), bytes, hex('00000000')])
    const frame = Buffer.concat([frameOf('60 70', ''), stored])
    expect((await (await loadCodec('lz4')).decompress(frame, 4 << 20)).equals(bytes)).toBe(true)
  })

  test.each([
    ['a second frame behind it', `${frameOf('60 40', '00000000').toString('hex').repeat(2)}`],
    ['no end mark', frameOf('60 40', '').toString('hex')],
    ['a header checksum that fails', '04224d18 60 40 00 00000000'],
    ['a dictionary', frameOf('61 40 01000000', '00000000').toString('hex')],
    ['an unknown version', frameOf('a0 40', '00000000').toString('hex')],
    ['a block code of 32 KiB', frameOf('60 30', '00000000').toString('hex')],
    ['a block that passes the end', frameOf('60 40', 'ffff0000 00').toString('hex')],
    ['a block larger than the frame says', frameOf('60 40', `01000180${'00'.repeat(65_537)} 00000000`).toString('hex')],
    ['a content size that is not true', frameOf('68 40 0500000000000000', '00000000').toString('hex')],
    ['a content size beyond all memory', frameOf('68 40 ffffffffffffffff', '00000000').toString('hex')],
    ['a copy from 0 bytes before', frameOf('60 40', '05000000 10 61 0000 00 00000000').toString('hex')],
    ['a block that ends with a copy', frameOf('60 40', '04000000 10 61 0100 00000000').toString('hex')],
  ])('refuses %s', async (_, bytes) => {
    await expect((await loadCodec('lz4')).decompress(hex(bytes), SIZE_MAX)).rejects.toMatchObject(CORRUPT)
  })

  test('xxhash32 gives the known answers', () => {
    expect(xxhash32(Buffer.alloc(0))).toBe(0x02cc5d05)
    expect(xxhash32(Buffer.from('a'))).toBe(0x550d7456)
    expect(xxhash32(Buffer.from('Nobody inspects the spammish repetition'))).toBe(0xe2293b2f)
  })
})
