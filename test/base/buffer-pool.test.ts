import { expect, test } from 'vitest'
import { BufferPool } from '../../base/buffer-pool.ts'

test('a buffer that was given back is used again, whichever view of it was given', () => {
  const pool = new BufferPool(1000, 2)
  const first = pool.take(10)
  expect(first.length).toBe(10)
  pool.give(first.subarray(3, 4))
  const again = pool.take()
  expect(again.length).toBe(1000)
  expect(again.buffer).toBe(first.buffer)
})

test('one buffer never has two users, however often it is given', () => {
  const pool = new BufferPool(1000, 4)
  const buffer = pool.take()
  pool.give(buffer)
  pool.give(buffer.subarray(5))
  expect(pool.take().buffer).not.toBe(pool.take().buffer)
})

test('strangers are left alone, large requests are served, and what waits is bounded', () => {
  const pool = new BufferPool(1000, 1)
  pool.give(Buffer.alloc(10))
  const [a, b] = [pool.take(), pool.take()]
  pool.give(a)
  pool.give(b)
  expect(pool.take().buffer).toBe(a.buffer)
  expect(pool.take().buffer).not.toBe(b.buffer)
  expect(pool.take(5000).length).toBe(5000)
})
