import { type Files, readWhole, writeWhole } from '../base/index.ts'
import { type PartitionId, partitionKey } from './group-members.ts'

export interface PartitionOffset extends PartitionId {
  readonly offset: number
}

/** Kafka's checkpoint files (`recovery-point-offset-checkpoint`): version 0, a count, then `topic partition offset`. */
export async function writeOffsetCheckpoint(
  files: Files,
  path: string,
  offsets: readonly PartitionOffset[],
): Promise<void> {
  const lines = offsets.map(({ topic, partition, offset }) => `${topic} ${partition} ${offset}\n`)
  await writeWhole(files, path, Buffer.from(`0\n${lines.length}\n${lines.join('')}`))
}

/**
 * Offsets by partition key. Undefined when the file is missing, empty or not whole: then nothing is known to be good and
 * everything is to be checked.
 */
export async function readOffsetCheckpoint(
  files: Files,
  path: string,
): Promise<ReadonlyMap<string, number> | undefined> {
  const text = (await readWhole(files, path))?.toString('latin1')
  if (text === undefined) return undefined
  const [version, count, ...lines] = text.split('\n')
  if (version !== '0' || lines.pop() !== '' || String(lines.length) !== count) return undefined
  const offsets = new Map<string, number>()
  for (const line of lines) {
    const [, topic, partition, offset] = /^(\S+) (\d{1,10}) (\d{1,16})$/.exec(line) ?? []
    if (topic === undefined || !Number.isSafeInteger(Number(offset))) return undefined
    offsets.set(partitionKey(topic, Number(partition)), Number(offset))
  }
  return offsets
}
