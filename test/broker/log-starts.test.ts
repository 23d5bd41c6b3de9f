import { expect, test } from 'vitest'
import { ManualClock, SeededRandom, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { lines, readAll, valuesOf, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const PATH = '/data/log-start-offset-checkpoint'
const COPY = '/data/meta/log-start-offset-checkpoint'

async function deleteSome() {
  const clock = new ManualClock()
  const files = new MemoryFiles(new SeededRandom(3), { clock })
  const broker = await openAsNewProcess({ files, clock })
  await broker.ensureTopic({ name: 't', partitions: 1, configs: {} })
  await write(broker, 't', 0, lines('a', 'b', 'c'))
  await broker.deleteRecords('t', 0, 2)
  await broker.close()
  const look = async () => {
    const log = recordingLogger()
    const again = await openAsNewProcess({ files, clock, log })
    const values = valuesOf(await readAll(again, 't', 0, 2))
    const { logStartOffset } = await again.partition('t', 0)
    await again.close()
    return { values, logStartOffset, warnings: log.lines.filter(line => line.level === 'warn') }
  }
  return { files, look }
}

for (const [how, content] of [
  ['gone', undefined],
  ['empty', ''],
  ['zeroed', '\0'.repeat(20)],
  ['of an earlier time', '0\n1\nt 0 1\n'],
] as const) {
  test(`deleted records stay deleted when the file of the log starts is ${how}, which is said once`, async () => {
    const { files, look } = await deleteSome()
    if (content === undefined) await files.unlink(PATH)
    else await writeWhole(files, PATH, Buffer.from(content))
    const { warnings, ...shown } = await look()
    expect(shown).toEqual({ values: ['c'], logStartOffset: 2 })
    expect(warnings).toMatchObject([{ fields: { path: PATH, copy: COPY, partitions: ['t-0'] } }])
    expect((await look()).warnings).toEqual([])
  })
}

test('a directory without the copy, as Kafka leaves it, is taken as it is and gets one', async () => {
  const { files, look } = await deleteSome()
  await files.unlink(COPY)
  expect(await look()).toEqual({ values: ['c'], logStartOffset: 2, warnings: [] })
  await files.unlink(PATH)
  expect(await look()).toMatchObject({ values: ['c'], logStartOffset: 2 })
})
