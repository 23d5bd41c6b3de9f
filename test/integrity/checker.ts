/**
 * Compares log files with the objects made of them. Shares no code with the product and imports none of it: plain Node,
 * so that one mistake cannot hide another.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Findings } from './suite.ts'

const NEWLINE = 10
const EXAMPLES_MAX = 10

/** Lines begin with `<file> <generation> <number> `, unique in the whole run; a time may stand before it. */
const IDENTITY = /^(?:\d{4}-\S+ )?(\S+) (\d+) (\d+) /

interface Line {
  /** File and generation: what keeps its order. */
  readonly stream: string
  readonly number: number
  readonly identity: string
}

/**
 * `sources`: the folder of log files, rotated ones included. `objects`: the folder of one topic's objects, whose lines
 * `restore` turns into those of the log. Lines of a stream are in order within each folder of objects.
 */
export function compareLines(sources: string, objects: string, restore = (line: string) => line): Findings {
  const sent = new Map<string, string>()
  for (const path of filesBelow(sources)) {
    for (const line of linesOf(readFileSync(path))) sent.set(identityOf(line)?.identity ?? line, line)
  }
  const seen = new Set<string>()
  const newest = new Map<string, number>()
  const examples: string[] = []
  const found = { records: sent.size, lost: 0, altered: 0, reordered: 0, duplicates: 0 }
  const note = (what: keyof typeof found, detail: string) => {
    found[what]++
    if (examples.length < EXAMPLES_MAX) examples.push(`${what}: ${detail}`)
  }
  for (const path of objectsInOrder(objects)) {
    for (const written of linesOf(contentOf(path))) {
      const line = restore(written)
      const id = identityOf(line)
      if (id === undefined || sent.get(id.identity) !== line) note('altered', `${path}: ${printable(line)}`)
      else if (seen.has(id.identity)) note('duplicates', `${path}: ${id.identity}`)
      else {
        seen.add(id.identity)
        const stream = `${dirname(path)} ${id.stream}`
        const last = newest.get(stream) ?? -1
        if (id.number < last) note('reordered', `${path}: ${id.identity} behind number ${last}`)
        newest.set(stream, Math.max(last, id.number))
      }
    }
  }
  for (const identity of sent.keys()) if (!seen.has(identity)) note('lost', identity)
  return { ...found, examples }
}

/** Bytes as they are, one character each; a last line without its newline counts. */
export function linesOf(bytes: Buffer): string[] {
  const lines: string[] = []
  for (let from = 0; from < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, from)
    const end = newline < 0 ? bytes.length : newline
    lines.push(bytes.toString('latin1', from, end))
    from = end + 1
  }
  return lines
}

/** What an object holds, by the tools a user would take. */
export function contentOf(path: string): Buffer {
  if (path.endsWith('.gz')) return gunzipSync(readFileSync(path))
  if (path.endsWith('.zst')) return execFileSync('zstd', ['-dcq', path], { maxBuffer: 1 << 30 })
  return readFileSync(path)
}

/** Finished objects (`<topic>+<partition>+<first offset>.<ext>`) by partition and first offset. */
export function objectsInOrder(directory: string): string[] {
  const numbered = filesBelow(directory).map(path => {
    const [, partition, offset] = /\+(\d+)\+(\d+)\.[^/]*$/.exec(path) ?? []
    if (partition === undefined) throw new Error(`${path}: not the name of an object`)
    return { path, partition: Number(partition), offset: Number(offset) }
  })
  return numbered.sort((a, b) => a.partition - b.partition || a.offset - b.offset).map(({ path }) => path)
}

/** Files below a folder; names with a dot in front are work in progress. Nothing there is no file. */
function filesBelow(directory: string): string[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return names
    .filter(name => !name.startsWith('.'))
    .map(name => join(directory, name))
    .flatMap(path => (statSync(path).isDirectory() ? filesBelow(path) : [path]))
}

function identityOf(line: string): Line | undefined {
  const match = IDENTITY.exec(line)
  if (match === null) return undefined
  return { stream: `${match[1]} ${match[2]}`, number: Number(match[3]), identity: match[0] }
}

function printable(line: string): string {
  return JSON.stringify(line.length > 120 ? `${line.slice(0, 120)}…` : line)
}
