import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nodeFiles } from '../../base/index.ts'
import { dumpPartition } from '../../broker/log-inspection-dump.ts'
import { findLogFolders } from '../../broker/log-inspection-folders.ts'
import { dumpLine } from '../../cli/dump-text.ts'
import { golden } from '../support/golden.ts'

/** How the lines begin; payloads may go on in others, and some remarks stand at the end. */
const LINE = /^(Log starting offset|baseOffset|\| offset|offset|timestamp|version|producerId): ?/

/** What Kafka's DumpLogSegments printed of each file, without the lines that were cut. */
function printedByKafka(path: string): Map<string, string[]> {
  const files = new Map<string, string[]>()
  let lines: string[] = []
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const name = /^Dumping .*\/(.*)$/.exec(line)?.[1]
    if (name !== undefined) {
      lines = []
      files.set(name, lines)
    } else if (LINE.test(line)) lines.push(line)
  }
  return files
}

async function printedByUs(directory: string): Promise<Map<string, string[]>> {
  const files = new Map<string, string[]>()
  let lines: string[] = []
  const { partitions } = await findLogFolders(nodeFiles, directory)
  await dumpPartition(nodeFiles, partitions[0]!, { deep: true }, async item => {
    if (item.kind === 'file') {
      lines = []
      files.set(item.path.slice(item.path.lastIndexOf('/') + 1), lines)
      if (item.startingOffset === undefined) return
      lines.push(`Log starting offset: ${item.startingOffset}`)
    } else lines.push(dumpLine(item))
  })
  return files
}

const DUMPED = golden === undefined ? [] : dumpedFolders()

/** Folders of partitions beside which Kafka's own dump lies. */
function dumpedFolders(): string[] {
  return ['kafka-4.1.2', 'kafka-3.9.2'].flatMap(version =>
    readdirSync(join(golden!, version), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.dump.txt') && !name.includes('7-damaged/damaged'))
      .map(name => join(version, name.slice(0, -'.dump.txt'.length))),
  )
}

/** Where the two agree on less than the line: bytes that are no text, what we decode, batches only, lines cut by us. */
const comparable = (line: string) =>
  !/[^ -~]|\\u00|^\| .*(headerKeys: \[.{200,}|valueSize: \d{4,})/.test(line) && !line.includes('{"')

describe.skipIf(golden === undefined)('log dump', () => {
  test.each(DUMPED)('prints %s as DumpLogSegments does', async folder => {
    const theirs = printedByKafka(join(golden!, `${folder}.dump.txt`))
    const ours = await printedByUs(join(golden!, folder))
    expect(theirs.size).toBeGreaterThan(0)
    for (const [name, lines] of theirs) {
      const deep = lines.some(line => line.startsWith('| '))
      const mine = (ours.get(name) ?? []).filter(line => deep || !line.startsWith('| '))
      const internal = folder.includes('__')
      const same = (line: string) => comparable(line) && !(internal && line.startsWith('| '))
      expect([name, mine.length]).toEqual([name, lines.length])
      for (const [i, line] of lines.entries())
        if (same(line) && same(mine[i]!)) expect(mine[i]!.trimEnd()).toBe(line.trimEnd())
    }
  })
})
