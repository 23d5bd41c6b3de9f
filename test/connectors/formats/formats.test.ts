import { execFileSync } from 'node:child_process'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BLOCK_BYTES, BlockWriter, blockPool, ENSURE_BYTES_MAX } from '../../../connectors/formats/block-writer.ts'
import { CompressedBlocks } from '../../../connectors/formats/compression.ts'
import { createFormat, type FormatName } from '../../../connectors/formats/format.ts'
import { Rows } from '../../../connectors/formats/rows.ts'
import { loadCodec, type SinkBatch } from '../../../runtime/api/index.ts'
import { packedBatch, recordsBatch } from '../../support/sink-batches.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)

function written(name: FormatName, ...batches: SinkBatch[]): Buffer {
  const out = new BlockWriter(blockPool())
  const format = createFormat(name)
  const reject = (row: number, reason: string) => expect.fail(`row ${row}: ${reason}`)
  for (const batch of batches) {
    const rows = new Rows(batch)
    expect(format.write(rows, 0, rows.count, out, Number.POSITIVE_INFINITY, reject)).toBe(rows.count)
  }
  return drained(out)
}

function drained(out: BlockWriter): Buffer {
  out.finish()
  const blocks: Buffer[] = []
  for (let block = out.shift(); block !== undefined; block = out.shift()) blocks.push(Buffer.from(block))
  for (const block of blocks.slice(0, -1)) expect(block.length).toBe(BLOCK_BYTES)
  const all = Buffer.concat(blocks)
  expect(all.length).toBe(out.total)
  return all
}

const linesOf = (bytes: Buffer) => bytes.toString('utf8').split('\n').slice(0, -1)

describe('json', () => {
  test('a raw line is the JSON string that JSON.stringify would write, for any text', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 300 }))
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), values => {
        // A lone surrogate has no UTF-8; what arrives as bytes is what Buffer made of it.
        const arrived = values.map(value => Buffer.from(value, 'utf8'))
        const expected = arrived.map(bytes => JSON.stringify(bytes.toString('utf8')))
        expect(linesOf(written('json', packedBatch(arrived)))).toEqual(expected)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  test('bytes that are not UTF-8 carry U+FFFD, are valid JSON, and are counted', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), values => {
        const lines = linesOf(written('json', packedBatch(values)))
        expect(lines.map(line => JSON.parse(line))).toEqual(values.map(value => Buffer.from(value).toString('utf8')))
      }),
      { seed: SEED, numRuns: 500 },
    )
    const format = createFormat('json')
    const rows = new Rows(packedBatch([Buffer.from([0x61, 0xff]), 'fine é', Buffer.from([0xc3])]))
    format.write(rows, 0, 3, new BlockWriter(blockPool()), Number.POSITIVE_INFINITY, () => {})
    expect([format.takeRepaired(), format.takeRepaired()]).toEqual([2, 0])
  })

  test('every byte and every position in a word is escaped as JSON.stringify does', () => {
    const values = Array.from({ length: 128 }, (_, c) =>
      ['', 'a', 'ab', 'abc', 'abcdefg'].map(p => `${p}${String.fromCharCode(c)}xyz`),
    ).flat()
    expect(linesOf(written('json', packedBatch(values)))).toEqual(values.map(value => JSON.stringify(value)))
  })

  test('a JSON value is copied as it is, and one with newlines becomes one line of the same value', () => {
    const values = ['{"a":1.0,"b":12345678901234567890}', '{\n  "a": "x\\ny",\r\n  "b": [1,\n2]\n}']
    const lines = linesOf(written('json', packedBatch(values, { encoding: 'json' })))
    expect(lines[0]).toBe(values[0])
    expect(lines).toHaveLength(2)
    expect(JSON.parse(lines[1]!)).toEqual(JSON.parse(values[1]!))
  })

  test('objects keep big integers, bytes inside become base64, undefined members vanish', () => {
    const value = {
      n: 12345678901234567890n,
      bytes: new Uint8Array([1, 2]),
      gone: undefined,
      list: [{ b: Buffer.from('x') }],
    }
    expect(linesOf(written('json', recordsBatch([value, null, 'a"b', Buffer.from('raw\tline')])))).toEqual([
      '{"n":12345678901234567890,"bytes":"AQI=","list":[{"b":"eA=="}]}',
      'null',
      '"a\\"b"',
      '"raw\\tline"',
    ])
  })

  test('a value that JSON cannot express is rejected alone and leaves nothing behind', () => {
    const loop: Record<string, unknown> = {}
    loop.loop = loop
    const rows = new Rows(recordsBatch(['a', loop, 'b']))
    const out = new BlockWriter(blockPool())
    const rejected: number[] = []
    createFormat('json').write(rows, 0, 3, out, Number.POSITIVE_INFINITY, row => rejected.push(row))
    expect([rejected, out.lines, drained(out).toString()]).toEqual([[1], 2, '"a"\n"b"\n'])
  })

  test('values longer than a piece and than a block are whole', () => {
    const sizes = [64 << 10, (64 << 10) + 1, ENSURE_BYTES_MAX, ENSURE_BYTES_MAX + 1, 3 * BLOCK_BYTES + 7]
    const values = sizes.map(size => '"\u0001é'.repeat(Math.ceil(size / 4)).slice(0, size))
    expect(linesOf(written('json', packedBatch(values)))).toEqual(values.map(value => JSON.stringify(value)))
    const texts = values.map(value => JSON.stringify({ value }))
    expect(linesOf(written('json', packedBatch(texts, { encoding: 'json' })))).toEqual(texts)
    expect(written('text', packedBatch(values)).equals(Buffer.from(`${values.join('\n')}\n`))).toBe(true)
  })
})

describe('text', () => {
  test('every byte of every value stands in the file, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), values => {
        const expected = Buffer.concat(values.flatMap(value => [value, Buffer.from('\n')]))
        expect(written('text', packedBatch(values)).equals(expected)).toBe(true)
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  test('structured values become their JSON text, null an empty line', () => {
    expect(written('text', recordsBatch([{ a: 1 }, null, 'line', 5])).toString()).toBe('{"a":1}\n\nline\n5\n')
  })
})

test('writing stops behind the record that reaches the limit', () => {
  const rows = new Rows(packedBatch(['12345', '12345', '12345']))
  const out = new BlockWriter(blockPool())
  expect(createFormat('text').write(rows, 0, 3, out, 7, () => {})).toBe(2)
  expect([out.total, out.lines]).toEqual([12, 2])
})

describe('compression', () => {
  const line = (i: number) => `${i} ${'abcdefgh'.repeat(20)}`
  const values = Array.from({ length: 20_000 }, (_, i) => line(i))

  for (const name of ['gzip', 'zstd', 'none'] as const) {
    test(`${name}: the bytes depend on the lines, not on the batches they came in`, async () => {
      const whole = await compressed(name, [packedBatch(values)])
      const cut: SinkBatch[] = []
      for (let i = 0, n = 1; i < values.length; i += n, n = (n * 7) % 997) cut.push(packedBatch(values.slice(i, i + n)))
      expect((await compressed(name, cut)).equals(whole)).toBe(true)
      const codec = await loadCodec(name)
      if (name === 'gzip') expect(gunzipSync(whole).toString()).toBe(`${values.join('\n')}\n`)
      else if (name === 'none')
        expect((await codec.decompress(whole, whole.length)).toString()).toBe(`${values.join('\n')}\n`)
      else expect(zstdTool(whole)?.toString() ?? `${values.join('\n')}\n`).toBe(`${values.join('\n')}\n`)
    })
  }
})

/** The reference implementation, where it is installed. */
function zstdTool(bytes: Buffer): Buffer | undefined {
  try {
    return execFileSync('zstd', ['-dcq'], { input: bytes, maxBuffer: 1 << 30 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    console.warn('SKIPPED: the zstd tool is not installed')
    return undefined
  }
}

async function compressed(name: 'gzip' | 'zstd' | 'none', batches: readonly SinkBatch[]): Promise<Buffer> {
  const out = new BlockWriter(blockPool())
  const stream = new CompressedBlocks(await loadCodec(name), out)
  const format = createFormat('text')
  const chunks: Buffer[] = []
  const drain = async () => {
    for (let chunk = await stream.head(); chunk !== undefined; chunk = await stream.head()) {
      chunks.push(Buffer.from(chunk))
      stream.done()
    }
  }
  for (const batch of batches) {
    const rows = new Rows(batch)
    format.write(rows, 0, rows.count, out, Number.POSITIVE_INFINITY, () => {})
    if (stream.pending) await drain()
  }
  out.finish()
  await drain()
  expect(stream.pending).toBe(false)
  return Buffer.concat(chunks)
}
