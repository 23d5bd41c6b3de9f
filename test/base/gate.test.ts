import { expect, test } from 'vitest'
import { Gate } from '../../base/gate.ts'

test('no more than its width are inside at once, and all get in, in order', async () => {
  const gate = new Gate(3)
  const order: number[] = []
  let inside = 0
  let most = 0
  const work = (i: number) => async () => {
    order.push(i)
    most = Math.max(most, ++inside)
    await new Promise(resolve => setImmediate(resolve))
    inside--
    if (i % 5 === 0) throw new Error(`work ${i}`)
    return i
  }
  const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => gate.pass(work(i))))
  expect(most).toBe(3)
  expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i))
  expect(results.filter(r => r.status === 'rejected')).toHaveLength(4)
})
