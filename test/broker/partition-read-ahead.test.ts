import { expect, test } from 'vitest'
import { ReadAhead } from '../../broker/read-ahead.ts'
import type { Segment } from '../../broker/segment.ts'

const PIECE = 2 << 20

function segments(count: number): Segment[] {
  return Array.from({ length: count }, (_, i) => ({ baseOffset: i }) as unknown as Segment)
}

test('no piece that was read ahead is lost to another reader, and with too many readers each gets its turn', async () => {
  const ahead = new ReadAhead(4 * PIECE)
  const readers = segments(10)
  const read = new Map(readers.map(segment => [segment, 0]))
  const got = new Map(readers.map(segment => [segment, 0]))
  for (let round = 0; round < 40; round++) {
    for (const segment of readers) {
      if ((await ahead.take(segment, round, PIECE)) !== undefined) got.set(segment, got.get(segment)! + 1)
      ahead.start(segment, round + 1, PIECE, async () => {
        read.set(segment, read.get(segment)! + 1)
        return Buffer.alloc(1)
      })
    }
  }
  for (const segment of readers) {
    expect(read.get(segment)! - got.get(segment)!).toBeLessThanOrEqual(1)
    expect(got.get(segment)).toBeGreaterThanOrEqual(10)
  }
})

test('readers that never come back do not keep the room for good', async () => {
  const ahead = new ReadAhead(2 * PIECE)
  for (const segment of segments(2)) ahead.start(segment, 0, PIECE, async () => Buffer.alloc(1))
  const [reader] = segments(1)
  let got = 0
  for (let round = 0; round < 400; round++) {
    if ((await ahead.take(reader!, round, PIECE)) !== undefined) got++
    ahead.start(reader!, round + 1, PIECE, async () => Buffer.alloc(1))
  }
  expect(got).toBeGreaterThan(200)
})
