import { readFileSync } from 'node:fs'
import { ManualClock } from '../../../base/index.ts'
import { type ConnectRecord, RecordError, type Transform } from '../../../runtime/api/index.ts'
import { parse } from '../../../runtime/transforms/parse/parse.ts'

export const READ_AT = 1_763_647_509_000

/** A Parse transform with its counters. */
export function openParse(options: Record<string, string>) {
  const counts: Record<string, number> = {}
  const given = { escape: 'default', 'on.error': 'keep', field: undefined, 'timestamp.field': undefined, ...options }
  const transform: Transform = parse.open(given as never, {
    clock: new ManualClock(READ_AT),
    count: (name, by = 1) => {
      counts[name] = (counts[name] ?? 0) + by
    },
  })
  return { counts, transform, parse: (value: unknown) => transform(recordOf(value))! }
}

export function recordOf(value: unknown): ConnectRecord {
  return {
    topic: 't',
    partition: undefined,
    key: null,
    keySchema: undefined,
    value: typeof value === 'string' ? Buffer.from(value) : value,
    valueSchema: undefined,
    headers: undefined,
    timestamp: undefined,
  }
}

/** Lines as a tailer cuts them: at newlines, a last one without its newline included. */
export function linesOf(path: string): Buffer[] {
  const bytes = readFileSync(path)
  const lines: Buffer[] = []
  for (let from = 0; from < bytes.length; ) {
    const newline = bytes.indexOf(10, from)
    const end = newline < 0 ? bytes.length : newline
    lines.push(bytes.subarray(from, end))
    from = end + 1
  }
  return lines
}

export { RecordError }
