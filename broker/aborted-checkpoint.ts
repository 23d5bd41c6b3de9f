import { type Files, readWhole, writeWhole } from '../base/index.ts'
import type { Segment } from './segment.ts'

/**
 * What the `.txnindex` files of a partition hold, so that one that was lost or cut is noticed: Kafka takes a missing one for
 * a segment without aborted transactions, and would serve their records. Ours alone; there is none as long as nothing was
 * ever aborted. Version 0, the offset up to which it is true, the number of lines, then base offset, number of entries and
 * CRC-32C of the entries for each segment that has any.
 */
const NAME = 'aborted-transactions-checkpoint'

/** As it should be for these segments, with all that lies below `upTo`. */
export function abortedCheckpoint(segments: readonly Segment[], upTo: number): string {
  const lines = segments.flatMap(segment => lineOf(segment, upTo) ?? [])
  return `0\n${upTo}\n${lines.length}\n${lines.map(line => `${line}\n`).join('')}`
}

function lineOf(segment: Segment, upTo: number): string | undefined {
  const { aborted, baseOffset } = segment
  const count = aborted.entries.findLastIndex(entry => entry.lastOffset < upTo) + 1
  return count === 0 ? undefined : `${baseOffset} ${count} ${aborted.checksum(count)}`
}

export function writeAbortedCheckpoint(files: Files, directory: string, text: string): Promise<void> {
  return writeWhole(files, `${directory}/${NAME}`, Buffer.from(text))
}

/**
 * The segments whose indexes of aborted transactions may be wrong about what lies below `from`, and whether there is a
 * checkpoint at all.
 */
export async function findUnsureSegments(
  files: Files,
  directory: string,
  segments: readonly Segment[],
  from: number,
): Promise<{ readonly segments: readonly Segment[]; readonly exists: boolean }> {
  const below = segments.filter(segment => segment.baseOffset < from)
  const text = (await readWhole(files, `${directory}/${NAME}`))?.toString('latin1')
  if (text === undefined) {
    // Kafka's own, which is right as far as Kafka knows; or nothing was aborted yet.
    const some = below.some(({ aborted }) => aborted.isCut || aborted.entries.some(entry => entry.lastOffset < from))
    return { segments: some ? below : [], exists: false }
  }
  const checkpoint = parse(text)
  if (checkpoint === undefined) return { segments: below, exists: true }
  const { upTo, lines } = checkpoint
  const isUnsure = (segment: Segment) =>
    Math.min(segment.nextOffset, from) > upTo || lineOf(segment, upTo) !== lines.get(segment.baseOffset)
  return { segments: below.filter(isUnsure), exists: true }
}

function parse(text: string): { readonly upTo: number; readonly lines: ReadonlyMap<number, string> } | undefined {
  const [version, upTo, count, ...lines] = text.split('\n')
  if (version !== '0' || !/^\d{1,16}$/.test(upTo ?? '') || lines.pop() !== '' || String(lines.length) !== count)
    return undefined
  return { upTo: Number(upTo), lines: new Map(lines.map(line => [Number(line.split(' ')[0]), line])) }
}
