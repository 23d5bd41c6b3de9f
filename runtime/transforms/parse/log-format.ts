import { KtsError } from '../../api/index.ts'
import { kindOf, type VariableKind } from './variables.ts'

/** One variable of a format and the fixed text that ends it; empty at the end of the line. */
export interface Step {
  readonly name: string
  readonly kind: VariableKind
  readonly after: string
  /** Stands between double quotes, where the escaping keeps quotes out of the value. */
  readonly quoted: boolean
}

/** A `log_format` taken apart. */
export interface LogFormat {
  /** Fixed text before the first variable. */
  readonly before: string
  readonly steps: readonly Step[]
}

const COMMON = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
const COMBINED = `${COMMON} "$http_referer" "$http_user_agent"`

/** Formats that have a name: nginx's predefined one is Apache's `combined`. */
export const NAMED_FORMATS: Readonly<Record<string, string>> = { nginx: COMBINED, combined: COMBINED, common: COMMON }

// $name or ${name}, as nginx's ngx_http_log_compile_format takes them.
const VARIABLE = /\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))/g

/** Takes a format string apart. Throws CONFIG_INVALID when it names no variable, or two that nothing separates. */
export function readLogFormat(format: string): LogFormat {
  const found = [...format.matchAll(VARIABLE)]
  const first = found[0]
  if (first === undefined) {
    throw invalid(
      `a format name (nginx, combined, common, json) or a log_format string with $variables, got "${format}"`,
    )
  }
  const before = format.slice(0, first.index)
  const steps = found.map((match, i): Step => {
    const name = match[1] ?? match[2]!
    const end = match.index + match[0].length
    const next = found[i + 1]
    const after = format.slice(end, next?.index)
    if (after === '' && next !== undefined) {
      throw invalid(`something between $${name} and ${next[0]}: without it nobody can tell where one ends`)
    }
    const quoted = format.charAt(match.index - 1) === '"' && after.startsWith('"')
    return { name, kind: kindOf(name), after, quoted }
  })
  return { before, steps }
}

function invalid(expected: string): KtsError {
  return new KtsError('CONFIG_INVALID', `Parse: format: expected ${expected}`)
}
