import type { Logger } from '../../base/index.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

/** A logger that keeps its lines for a test to look at. */
export function recordingLogger(lines: LogLine[] = []): Logger & { readonly lines: readonly LogLine[] } {
  const add = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields: { ...fields }, message })
  }
  const logger = { lines, debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') }
  return { ...logger, child: () => recordingLogger(lines) }
}
