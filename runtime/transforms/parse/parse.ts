import {
  type ConnectRecord,
  defineOptions,
  defineTransform,
  errorMessage,
  type OptionValues,
  RecordError,
  type Transform,
  type TransformContext,
} from '../../api/index.ts'
import { parseJsonLine } from './json-line.ts'
import { NAMED_FORMATS, readLogFormat } from './log-format.ts'
import { LineScanner } from './scanner.ts'
import { decodeLine } from './text.ts'
import { parseAnyTime } from './time.ts'

const OPTIONS = defineOptions({
  format: {
    type: 'string',
    literal: true,
    doc: "What a line looks like: `nginx` (nginx's and Apache's `combined`), `combined`, `common`, `json` (one object a line), or a `log_format` string of nginx. Its variables become fields of the same names; `-` becomes null; `$request` gives `method`, `path` and `protocol` besides. `$msec`, `$time_iso8601` or `$time_local` (the first of these that is there) sets the record's timestamp.",
    importance: 'high',
    examples: ['nginx', 'json', '$remote_addr [$time_local] "$request" $status $request_time'],
    validate: format => problemOf(format),
  },
  escape: {
    type: 'enum',
    values: ['default', 'json', 'none'],
    default: 'default',
    doc: "The `escape=` parameter of the `log_format`. `default` also reads Apache's escapes. A value whose escapes do not give UTF-8 stays as it stands in the line.",
  },
  field: {
    type: 'string',
    default: null,
    doc: 'Parses the text of this one field of a structured value and puts the fields found in its place. Without it the whole value is the line.',
  },
  'on.error': {
    type: 'enum',
    values: ['keep', 'fail', 'skip', 'dead-letter'],
    default: 'keep',
    doc: 'What becomes of a line that does not have the format: `keep` it as `{message, parse_error}` with the time it was read, `fail` the task, `skip` it, or `dead-letter` it. All are counted as `parse.errors`.',
  },
  'timestamp.field': {
    type: 'string',
    default: null,
    doc: "With `format: json`: the member that sets the record's timestamp. ISO 8601 (UTC where it names no zone), `$time_local`'s form, or a number since the epoch: seconds below 10^11, milliseconds from there on. A line without such a time keeps the time it was read and is counted as `timestamp.errors`.",
  },
})

/** The fields of a line and the time it tells, or in words why it has none. */
type LineParser = (bytes: Uint8Array | string) => { fields: object; timestamp: number | undefined } | string

/** Lines of web servers and JSON logs become fields. */
export const parse = defineTransform({
  kind: 'transform',
  name: 'Parse',
  aliases: [],
  doc: 'Takes a log line apart into fields and sets the time of the record from it. Text that is not UTF-8 is counted as `invalid.utf8`, its bytes spelled `\\xNN`.',
  options: OPTIONS,
  structured: true,
  problems({ format, 'timestamp.field': timestampField }) {
    if (timestampField === undefined || format === 'json') return []
    const message = 'expected format: json beside it, got another format, whose own $time… variables set the time'
    return [{ option: 'timestamp.field', message }]
  },
  open(options, context) {
    const parseLine = openParser(options, context)
    return transformOf(parseLine, options, context)
  },
})

function problemOf(format: string): string | undefined {
  if (format === 'json') return undefined
  try {
    readLogFormat(formatString(format))
    return undefined
  } catch (error) {
    return errorMessage(error).replace('Parse: format: expected ', '')
  }
}

function formatString(format: string): string {
  return Object.hasOwn(NAMED_FORMATS, format) ? NAMED_FORMATS[format]! : format
}

function openParser(options: OptionValues<typeof OPTIONS>, context: TransformContext): LineParser {
  if (options.format === 'json') return jsonParser(options['timestamp.field'], context)
  const scanner = new LineScanner(readLogFormat(formatString(options.format)), options.escape)
  return line => {
    const fields = scanner.scan(textOf(line, context))
    return typeof fields === 'string' ? fields : { fields, timestamp: scanner.timestamp }
  }
}

function jsonParser(timestampField: string | undefined, context: TransformContext): LineParser {
  return line => {
    // Inside a JSON string a backslash must itself be escaped to come out as `\xNN`.
    const fields = parseJsonLine(textOf(line, context, '\\\\'))
    if (typeof fields === 'string') return fields
    if (timestampField === undefined) return { fields, timestamp: undefined }
    const timestamp = parseAnyTime(fields[timestampField])
    if (!Number.isNaN(timestamp)) return { fields, timestamp }
    context.count('timestamp.errors')
    return { fields, timestamp: undefined }
  }
}

function textOf(line: Uint8Array | string, context: TransformContext, backslash?: string): string {
  if (typeof line === 'string') return line
  const { text, valid } = decodeLine(line, backslash)
  if (!valid) context.count('invalid.utf8')
  return text
}

function transformOf(
  parseLine: LineParser,
  { field, 'on.error': onError }: OptionValues<typeof OPTIONS>,
  context: TransformContext,
): Transform {
  return <R extends ConnectRecord>(record: R): R => {
    const { value } = record
    if (value === null || value === undefined) return record
    const line = field === undefined ? value : memberOf(value, field)
    const parsed = isLine(line) ? parseLine(line) : `expected a line of text, got ${nameOf(line)}`
    if (typeof parsed !== 'string') {
      put(record, field, parsed.fields)
      if (parsed.timestamp !== undefined) record.timestamp = parsed.timestamp
      return record
    }
    context.count('parse.errors')
    if (onError !== 'keep') throw new RecordError(`Parse: ${parsed}`, { onError })
    record.timestamp ??= context.clock.now()
    // What is no text is not a line: it stays as it is.
    if (isLine(line)) put(record, field, kept(line, parsed))
    return record
  }
}

function memberOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && Object.hasOwn(value!, field)
    ? (value as Record<string, unknown>)[field]
    : undefined
}

function put(record: ConnectRecord, field: string | undefined, parsed: object): void {
  if (field !== undefined) {
    ;(record.value as Record<string, unknown>)[field] = parsed
    return
  }
  record.value = parsed
  record.valueSchema = undefined
}

function kept(line: Uint8Array | string, parseError: string): object {
  const message = typeof line === 'string' ? line : decodeLine(line).text
  return { __proto__: null, message, parse_error: parseError }
}

function isLine(value: unknown): value is Uint8Array | string {
  return typeof value === 'string' || value instanceof Uint8Array
}

function nameOf(value: unknown): string {
  return value === null ? 'null' : value === undefined ? 'nothing' : `a value of type ${typeof value}`
}
