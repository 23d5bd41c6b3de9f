import { describe, expect, test } from 'vitest'
import { type Files, ManualClock, readWhole, SeededRandom, silentLogger, systemProcesses } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { GroupMember } from '../../broker/index.ts'
import { verifyLog } from '../../broker/log-inspection.ts'
import { findLogFolders } from '../../broker/log-inspection-folders.ts'
import { repairLog } from '../../broker/log-inspection-repair.ts'
import { lines, readAll, rejection, valuesOf } from '../support/broker-drivers.ts'
import { JOURNAL_BYTES, openAsNewProcess } from '../support/embedded.ts'

const TOOL: GroupMember = { group: 'g', member: 'tool', generation: -1 }
const COMMITS = 6
const ALL = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6']

/** A log whose process was killed, with a flipped bit; `at` counts from the end where it is negative. */
async function damaged(topic: string, at: number, journalBytes: number) {
  const clock = new ManualClock()
  const files = new MemoryFiles(new SeededRandom(1), { clock })
  const broker = await openAsNewProcess({ files, clock, journalBytes })
  await broker.ensureTopic({ name: 't', partitions: 1, configs: {} })
  const writer = await broker.writer('w')
  for (let k = 1; k <= COMMITS; k++) {
    const transaction = await writer.begin()
    await transaction.append('t', 0, lines(`r${k}`))
    transaction.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: { at: k } }])
    transaction.offsets(TOOL, [{ topic: 't', partition: 0, offset: k, metadata: '' }])
    await transaction.commit()
  }
  const path = `/data/${topic}-0/00000000000000000000.log`
  const bytes = (await readWhole(files, path))!
  await flip(files, path, at < 0 ? bytes.length + at : at)
  return { files, clock, path }
}

async function flip(files: Files, path: string, at: number): Promise<void> {
  const byte = (await readWhole(files, path))![at]!
  const file = await files.open(path, 'write')
  await file.write([Buffer.from([byte ^ 4])], at)
  await file.close()
}

// A marker is 78 bytes, so 100 bytes before the end the last records begin.
describe.each([
  ['__transaction_state', 100, /aborted/, { at: 6, offset: 6 }],
  ['connect-offsets', 20, /sources/, { at: 6, offset: 6 }],
  ['connect-offsets', -100, /sources/, { at: 5, offset: 6 }],
  ['__consumer_offsets', 20, /sinks/, { at: 6, offset: 6 }],
  ['__consumer_offsets', -100, /sinks/, { at: 6, offset: 5 }],
])('%s with a flipped bit at %i', (topic, at, consequence, after) => {
  test('keeps the broker from starting, says what to do and what it means, and a repair lets it start', async () => {
    const { files, clock, path } = await damaged(topic, at, 0)
    const refusal = await rejection(openAsNewProcess({ files, clock }))
    expect(refusal).toMatchObject({ code: 'CORRUPT_MESSAGE', message: expect.stringMatching(consequence) })
    expect(refusal.message).toContain(path)
    expect(refusal.message).toMatch(/offsets \d+ to \d+ .* `kts-connect log repair`/)
    const verified = await verifyLog(files, await findLogFolders(files, '/data'))
    expect(verified.findings.problems.map(problem => problem.path)).toContain(path)
    await repairLog(
      { files, clock, random: new SeededRandom(1), processes: systemProcesses, logger: silentLogger },
      '/data',
    )
    const broker = await openAsNewProcess({ files, clock })
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(ALL)
    expect((await broker.checkpoints('c')).map(checkpoint => checkpoint.value)).toEqual([{ at: after.at }])
    expect((await broker.committed('g')).map(position => position.offset)).toEqual([after.offset])
    const transaction = await (await broker.writer('w')).begin()
    await transaction.append('t', 0, lines('new'))
    await transaction.commit()
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual([...ALL, 'new'])
    await broker.close()
  })

  test('is mended by the commit journal where that has the bytes still', async () => {
    const { files, clock } = await damaged(topic, at < 0 ? at : Math.min(at, 20), JOURNAL_BYTES)
    const broker = await openAsNewProcess({ files, clock })
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(ALL)
    expect((await broker.checkpoints('c')).map(checkpoint => checkpoint.value)).toEqual([{ at: COMMITS }])
    expect((await broker.committed('g')).map(position => position.offset)).toEqual([COMMITS])
    await broker.close()
  })
})
