import pino from 'pino'
import type { Logger } from '../base/index.ts'
import { escapeControls } from './text.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Takes whole lines with their newline. */
export type LineWriter = (line: string) => void

/** JSON lines for machines: pino's, with ISO times and level names, and no raw control character anywhere. */
export function jsonLogger(level: LogLevel, write: LineWriter): Logger {
  const stream = { write: (line: string) => write(`${escapeControls(line.trimEnd())}\n`) }
  return fromPino(
    pino(
      {
        level,
        base: { pid: process.pid },
        messageKey: 'message',
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: label => ({ level: label }) },
      },
      stream,
    ),
  )
}

/** Short lines for a person at a terminal: `14:05:09 WARN message key=value`. */
export function terminalLogger(level: LogLevel, write: LineWriter): Logger {
  return jsonLogger(level, line => write(`${readable(JSON.parse(line) as Readonly<Record<string, unknown>>)}\n`))
}

function readable(entry: Readonly<Record<string, unknown>>): string {
  const { level, time, message, pid: _pid, err, ...fields } = entry
  const shown = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const cause =
    typeof err === 'object' && err !== null && 'message' in err ? `${message}: ${err.message}` : `${message}`
  const words = [String(time).slice(11, 19), String(level).toUpperCase().padEnd(5), cause, ...shown]
  return escapeControls(words.join(' '))
}

function fromPino(logger: pino.Logger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: fields => fromPino(logger.child(fields)),
  }
}
