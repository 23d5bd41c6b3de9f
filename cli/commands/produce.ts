import { isUtf8 } from 'node:buffer'
import { UsageError } from '../failure.ts'
import type { WorkerOptions } from '../find-worker.ts'
import type { LogAccess } from '../log-access.ts'
import { openAccess } from '../open-access.ts'
import { processOutput } from '../output.ts'
import { formatCount } from '../text.ts'

const LINE_BYTES_MAX = 512 << 10
/** The REST server takes 1 MiB; a line of the largest size may follow the last that fitted. */
const REQUEST_CHARS = 128 << 10

/** What has been read is written and durable before more is read, so a person who types sees each line arrive. */
export async function produce(topic: string, options: WorkerOptions & { keySeparator?: string }): Promise<void> {
  const { access } = await openAccess(options)
  let count = 0
  try {
    // A wrong name is told before anything is read.
    await access.topic(topic)
    for await (const lines of inputLines(process.stdin)) {
      // Up to a line that is no record: what stands before it in the input is written.
      const bad = lines.findIndex(line => !hasKey(line, options.keySeparator))
      const good = bad < 0 ? lines : lines.slice(0, bad)
      await send(
        access,
        topic,
        good.map(line => recordLine(line, options.keySeparator)),
      )
      count += good.length
      if (bad >= 0)
        throw new UsageError(`line ${count + 1}: no key separator ${JSON.stringify(options.keySeparator)} in it`)
    }
  } finally {
    await access.close()
    processOutput().note(`${formatCount(count)} ${count === 1 ? 'record' : 'records'} written to ${topic}`)
  }
}

/** In requests below the server's limit; each is all or nothing. */
async function send(access: LogAccess, topic: string, records: readonly string[]): Promise<void> {
  let request = ''
  for (const record of records) {
    if (request.length + record.length > REQUEST_CHARS && request !== '') {
      await access.send(topic, request)
      request = ''
    }
    request += `${record}\n`
  }
  if (request !== '') await access.send(topic, request)
}

/** Whole lines as they arrive, without their newlines; a last line without one counts. */
async function* inputLines(input: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[]> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of input) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const lines: Buffer[] = []
    let start = 0
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      lines.push(bytes.subarray(start, end))
      start = end + 1
    }
    rest = bytes.subarray(start)
    if (lines.length > 0) yield lines
    if (rest.length > LINE_BYTES_MAX) throw new UsageError(`a line is longer than ${LINE_BYTES_MAX} bytes`)
  }
  if (rest.length > 0) yield [rest]
}

function hasKey(line: Buffer, separator: string | undefined): boolean {
  return separator === undefined || line.includes(separator)
}

function recordLine(line: Buffer, separator: string | undefined): string {
  if (separator === undefined) return `{${member('value', line)}}`
  const at = line.indexOf(separator)
  const value = line.subarray(at + Buffer.byteLength(separator))
  return `{${member('key', line.subarray(0, at))},${member('value', value)}}`
}

function member(name: 'key' | 'value', bytes: Buffer): string {
  return isUtf8(bytes)
    ? `"${name}":${JSON.stringify(bytes.toString())}`
    : `"${name}Base64":"${bytes.toString('base64')}"`
}
