const SPECIAL = /^[*&!|>%@`[\]{}#,?]/
const KEY_AND_VALUE = /^\s*(?:- +)*(?:(?:"[^"]*"|'[^']*'|[\w.$-]+) *: +)?(.*?)(?: +#.*)?\s*$/
const SECRET = /pass|secret|token|credential|key/i

/** Whether what stands under such a key had better not be repeated, known option or not. */
export function soundsSecret(key: string): boolean {
  return SECRET.test(key)
}

/**
 * Most values that YAML rejects or misreads only lack quotes: `*.log`, `[a-z]+`, cron lines, `${env:X}` in braces.
 * Answers `quote this: "…"` for the value at `column` (from 1) of `line`, or undefined where quotes would not help.
 */
export function quoteHint(line: string, column: number): string | undefined {
  const reference = /\$\{[^}]*\}/.exec(line)
  if (reference !== null && !/["']/.test(line[reference.index - 1] ?? '')) return say(reference[0])
  const value = KEY_AND_VALUE.exec(line)?.[1] ?? ''
  if (value === '' || /^["']/.test(value)) return undefined
  if (soundsSecret(line.slice(0, line.indexOf(value)))) return 'put the value in quotes'
  const inFlow = /^[[{]/.test(value) && line.indexOf(value) + 1 < column
  if (inFlow && SPECIAL.test(line.slice(column - 1))) return say(line.slice(column - 1).split(/ *[,\]}]/)[0]!)
  return SPECIAL.test(value) || value.includes(': ') ? say(value) : undefined
}

function say(text: string): string {
  return `quote this: ${JSON.stringify(text)}`
}
