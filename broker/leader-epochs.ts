import { type Files, readWhole, writeWhole } from '../base/index.ts'

const NAME = 'leader-epoch-checkpoint'

/**
 * The leader epoch that new batches carry, from `leader-epoch-checkpoint` (version 0, number of lines, then epoch and
 * start offset). One process leads always, so an epoch never ends here; a log that Kafka wrote keeps its last one.
 */
export async function openLeaderEpoch(files: Files, directory: string, startOffset: number): Promise<number> {
  const path = `${directory}/${NAME}`
  const lines = (await readWhole(files, path))?.toString('utf8').trimEnd().split('\n')
  if (lines !== undefined && lines[0] === '0' && lines.length === 2 + Number(lines[1])) {
    const last = /^(\d{1,9}) \d{1,16}$/.exec(lines.at(-1)!)
    if (last !== null) return Number(last[1])
  }
  await writeWhole(files, path, Buffer.from(`0\n1\n0 ${startOffset}\n`))
  return 0
}
