import { expect, test } from 'vitest'
import { ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { openAsNewProcess } from '../support/embedded.ts'

const COMMITS = 60_000
/** Twenty writers beside each other, as tasks are. */
const WRITERS = 20
/** All that was written is half as much again. */
const BOUND_BYTES = 28 << 20

async function bytesBelow(files: MemoryFiles, directory: string): Promise<number> {
  let bytes = 0
  for (const name of await files.list(directory)) {
    const path = `${directory}/${name}`
    const stat = await files.stat(path)
    bytes += stat.kind === 'directory' ? await bytesBelow(files, path) : stat.size
  }
  return bytes
}

test('what the log remembers of groups, sources and transactions stays small for years of commits, over restarts too', async () => {
  const clock = new ManualClock()
  const files = new MemoryFiles(new SeededRandom(1), { clock })
  const broker = await openAsNewProcess({ files, clock })
  await broker.ensureTopic({ name: 't', configs: {} })
  const writers = await Promise.all(Array.from({ length: WRITERS }, (_, i) => broker.writer(`w${i}`)))
  let largest = 0
  for (let commit = 0; commit < COMMITS; commit += WRITERS) {
    await Promise.all(
      writers.map(async (writer, i) => {
        const transaction = await writer.begin()
        const offsets = [{ topic: 't', partition: 0, offset: commit, metadata: '' }]
        transaction.offsets({ group: `g${i}`, member: 'm', generation: -1 }, offsets)
        transaction.checkpoint([{ connector: `c${i}`, partition: { file: 'f' }, value: { at: commit } }])
        await transaction.commit()
      }),
    )
    if (commit % 1000 === 0) await clock.advance(20_000)
    if (commit % 10_000 === 0) largest = Math.max(largest, await bytesBelow(files, '/data'))
  }
  expect(largest).toBeLessThan(BOUND_BYTES)
  expect((await broker.committed('g3'))[0]!.offset).toBe(COMMITS - WRITERS)
  await broker.close()
  const again = await openAsNewProcess({ files, clock })
  expect((await again.committed('g3'))[0]!.offset).toBe(COMMITS - WRITERS)
  expect((await again.checkpoints('c19'))[0]!.value).toEqual({ at: COMMITS - WRITERS })
  expect(await bytesBelow(files, '/data')).toBeLessThan(BOUND_BYTES)
  await again.close()
}, 300_000)
