import type { Form } from './form.ts'

const LITERAL = /^\(*(?:B?'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(true|false))/i
/** What may be behind a literal: casts and closing parentheses. */
const CASTS =
  /^(?:\)|::(?:"[^"]+"|[a-z_][\w ]*)(?:\.(?:"[^"]+"|[a-z_]\w*))*(?:\(-?\d+(?:,-?\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*)*$/i
const CALL =
  /^\(*(?:(?:"[^"]+"|[a-z_]\w*)(?:\.(?:"[^"]+"|[a-z_]\w*))*\(|(?:current_\w+|localtime|localtimestamp|session_user|user)\b)/i

/**
 * The value of a column's default as far as a schema tells it: that of a literal, for a function call what the type has
 * for that (0, the epoch), undefined for any other expression and for types whose defaults are not told.
 */
export function defaultValue(expression: string | undefined, form: Form): unknown {
  if (expression === undefined || form.generated === undefined) return undefined
  const literal = literalOf(expression)
  if (literal === undefined) return CALL.test(expression) ? form.generated : undefined
  const bytes = Buffer.from(literal)
  try {
    return form.valueOfText(bytes, 0, bytes.length) ?? undefined
  } catch {
    // A literal that only a cast makes a value of the type ('now'::date).
    return undefined
  }
}

/** Of pg_get_expr's text: `'it''s'::text`, `(-1)`, `12.50`, `B'101'::"bit"`. */
function literalOf(expression: string): string | undefined {
  const literal = LITERAL.exec(expression)
  if (literal === null || !CASTS.test(expression.slice(literal[0].length))) return undefined
  return literal[1]?.replaceAll("''", "'") ?? literal[2] ?? literal[3]
}
