import { readFile } from 'node:fs/promises'
import { beforeEach, expect, test } from 'vitest'
import { nodeFiles, SeededRandom, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { readOffsetCheckpoint, writeOffsetCheckpoint } from '../../broker/offset-checkpoint.ts'
import { sharedData } from '../support/shared-data.ts'

let files: MemoryFiles
const PATH = '/d/recovery-point-offset-checkpoint'
beforeEach(async () => {
  files = new MemoryFiles(new SeededRandom(1))
  await files.mkdir('/d')
})

test('offsets come back by partition', async () => {
  await writeOffsetCheckpoint(files, PATH, [
    { topic: 'a.b-c', partition: 10, offset: Number.MAX_SAFE_INTEGER },
    { topic: 't', partition: 0, offset: 0 },
  ])
  expect(await readOffsetCheckpoint(files, PATH)).toEqual(
    new Map([
      ['a.b-c-10', Number.MAX_SAFE_INTEGER],
      ['t-0', 0],
    ]),
  )
})

test('a file that is not whole says nothing, rather than less', async () => {
  expect(await readOffsetCheckpoint(files, PATH)).toBeUndefined()
  const whole = '0\n2\na 0 5\nb 1 6\n'
  for (const text of [
    '',
    '\0\0\0\0',
    '1\n0\n',
    '0\n2\na 0 5\n',
    '0\n1\na 0 5\nb 1 6\n',
    '0\n1\na 0 -5\n',
    '0\n1\na 0\n',
  ]) {
    await writeWhole(files, PATH, Buffer.from(text))
    expect(await readOffsetCheckpoint(files, PATH), JSON.stringify(text)).toBeUndefined()
  }
  for (let cut = 0; cut < whole.length; cut++) {
    await writeWhole(files, PATH, Buffer.from(whole.slice(0, cut)))
    expect(await readOffsetCheckpoint(files, PATH), `${cut} bytes`).toBeUndefined()
  }
})

const golden = sharedData('kafka/golden/kafka-4.1.2/8-broker/recovery-point-offset-checkpoint')
test.skipIf(golden === undefined)('the file of a real Kafka is read', async () => {
  const lines = (await readFile(golden!, 'utf8')).trim().split('\n').slice(2)
  const offsets = await readOffsetCheckpoint(nodeFiles, golden!)
  expect(offsets!.size).toBe(lines.length)
  for (const line of lines) {
    const [topic, partition, offset] = line.split(' ')
    expect(offsets!.get(`${topic}-${partition}`)).toBe(Number(offset))
  }
})
