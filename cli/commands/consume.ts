import { parseJson } from '../../base/index.ts'
import type { RecordQuery } from '../../web/index.ts'
import { UsageError } from '../failure.ts'
import type { WorkerOptions } from '../find-worker.ts'
import { type OpenedLog, openAccess } from '../open-access.ts'
import { processOutput } from '../output.ts'
import { onStopSignal } from '../signals.ts'
import { escapeControls, formatCount } from '../text.ts'

export interface ConsumeOptions extends WorkerOptions {
  readonly fromBeginning?: boolean
  readonly maxMessages?: number
  readonly timeoutMs?: number
  readonly partition?: number
  readonly offset?: number
  readonly format: 'value' | 'json'
}

/** Raw bytes into a pipe or file; escaped on a terminal, which a log line could otherwise command. */
export async function consume(topic: string, options: ConsumeOptions): Promise<void> {
  if (options.fromBeginning === true && options.offset !== undefined) {
    throw new UsageError('--from-beginning and --offset say two things: give one of them')
  }
  const output = processOutput()
  const stop = new AbortController()
  onStopSignal(() => stop.abort())
  const opened = await openAccess(options)
  const show = options.format === 'json' ? jsonLine : valueLine
  let count = 0
  try {
    if (!opened.running && options.fromBeginning !== true && options.offset === undefined) {
      output.note('The worker is stopped, so nothing new will arrive: --from-beginning prints what is there.')
    }
    for await (const lines of opened.access.records(topic, recordQuery(options, opened), stop.signal)) {
      for (const line of lines.split('\n')) {
        if (line === '') continue
        await output.data(show(line, output.isTerminal))
        count++
      }
    }
  } finally {
    await opened.access.close()
  }
  output.note(`${formatCount(count)} ${count === 1 ? 'record' : 'records'}`)
}

function recordQuery(options: ConsumeOptions, opened: OpenedLog): RecordQuery {
  return {
    partition: options.partition,
    offset: options.offset ?? (options.fromBeginning === true ? 'earliest' : 'latest'),
    maxMessages: options.maxMessages ?? Number.POSITIVE_INFINITY,
    follow: opened.running,
    timeoutMs: options.timeoutMs,
  }
}

function jsonLine(line: string, isTerminal: boolean): string {
  return `${isTerminal ? escapeControls(line) : line}\n`
}

/** Kafka's console consumer prints a null value as `null`; so do we. */
function valueLine(line: string, isTerminal: boolean): Buffer {
  const { value, valueBase64 } = parseJson(line) as { value?: string | null; valueBase64?: string }
  const bytes = valueBase64 === undefined ? Buffer.from(value ?? 'null') : Buffer.from(valueBase64, 'base64')
  const shown = isTerminal ? Buffer.from(escapeControls(bytes.toString())) : bytes
  return Buffer.concat([shown, NEWLINE])
}

const NEWLINE = Buffer.from('\n')
