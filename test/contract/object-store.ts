import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ObjectStore } from '../../connectors/s3/object-store.ts'
import { SeededRandom } from '../../runtime/api/index.ts'

export interface StoreDriver {
  readonly name: string
  /** A store over the same place each time, with keys under `topics/`; undefined: not to be had here. */
  open(): Promise<ObjectStore>
  /** Keys that a reader of the place would see. */
  keys(): Promise<readonly string[]>
  /** Waits until what was written has arrived: a part under way behind an abort may revive an upload. */
  arrived?(key: string): Promise<void>
}

const PART = 5 << 20

/** What every object store promises. */
export function objectStoreContract(
  name: string,
  start: () => Promise<StoreDriver | undefined>,
  stop: () => Promise<void>,
) {
  describe(`object store: ${name}`, () => {
    let driver: StoreDriver | undefined
    beforeAll(async () => {
      driver = await start()
    })
    afterAll(stop)

    const promise = (title: string, body: (driver: StoreDriver, store: ObjectStore) => Promise<void>) =>
      test(title, async context => {
        if (driver === undefined) return context.skip()
        const store = await driver.open()
        try {
          await body(driver, store)
        } finally {
          await store.close()
        }
      })

    promise('what was put is read back, replaced and deleted', async (_, store) => {
      await store.put('topics/a/one', Buffer.from('first'))
      await store.put('topics/a/one', Buffer.from('2nd'))
      expect((await store.get('topics/a/one'))?.toString()).toBe('2nd')
      await store.delete('topics/a/one')
      await store.delete('topics/a/one')
      expect(await store.get('topics/a/one')).toBeUndefined()
    })

    for (const size of [1, 1 << 20, PART - 1, PART, PART + 1, 2 * PART + 12_345]) {
      promise(`an object of ${size} bytes is seen at its commit, whole`, async (place, store) => {
        const key = `topics/b/partition=0/b+0+${size}.txt`
        const bytes = new SeededRandom(size).bytes(size)
        const writer = store.create(key)
        for (let at = 0; at < size; at += 700_001) await writer.write(bytes.subarray(at, at + 700_001))
        expect(await place.keys()).not.toContain(key)
        await writer.commit()
        await writer.commit()
        expect((await store.get(key))?.equals(bytes)).toBe(true)
        expect(await place.keys()).toContain(key)
      })
    }

    promise('memory stays bounded while a large object is written', async (_, store) => {
      const writer = store.create('topics/m/partition=0/m+0+0.txt')
      const chunk = Buffer.alloc(1 << 20, 7)
      for (let i = 0; i < 32; i++) {
        await writer.write(chunk)
        expect(writer.held).toBeLessThanOrEqual(3 * PART)
      }
      await writer.abort()
    })

    promise('an aborted object leaves nothing', async (place, store) => {
      const key = 'topics/c/partition=0/c+0+0.txt'
      const writer = store.create(key)
      await writer.write(Buffer.alloc(PART + 1))
      await writer.abort()
      expect(await store.get(key)).toBeUndefined()
      expect(await place.keys()).not.toContain(key)
      expect(await store.sweep(() => true)).toBe(0)
    })

    promise('what a kill left is swept, only where it is own', async (place, store) => {
      for (const topic of ['own', 'foreign']) {
        const key = `topics/${topic}/partition=0/${topic}+0+0.txt`
        await store.create(key).write(Buffer.alloc(PART + 1))
        await place.arrived?.(key)
      }
      const later = await place.open()
      expect(await later.sweep(name => name.startsWith('own+'))).toBe(1)
      expect(await later.sweep(name => name.startsWith('own+'))).toBe(0)
      expect(await later.sweep(() => true)).toBe(1)
      await later.close()
    })

    promise('an object that was begun again replaces what stood there', async (_, store) => {
      const key = 'topics/d/partition=0/d+0+0.txt'
      await store.put(key, Buffer.alloc(100, 1))
      const writer = store.create(key)
      await writer.write(Buffer.from('new'))
      expect((await store.get(key))?.length).toBe(100)
      await writer.commit()
      expect((await store.get(key))?.toString()).toBe('new')
    })
  })
}
