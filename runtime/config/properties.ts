/** One `key=value`, and the line (from 1) where it begins. */
export interface Property {
  readonly key: string
  readonly value: string
  readonly line: number
}

/** Of one key twice the last counts, as in Java. */
export function parseProperties(text: string): ReadonlyMap<string, string> {
  return new Map(readProperties(text).map(({ key, value }) => [key, value]))
}

/** Java's `.properties` (java.util.Properties, UTF-8): comments, `=`, `:` or blanks between, continuation and escapes. */
export function readProperties(text: string): readonly Property[] {
  return logicalLines(text).flatMap(({ text: content, line }) => {
    const match = /^((?:\\.|[^\\=:\s])*)[ \t\f]*[=:]?[ \t\f]*(.*)$/s.exec(content)
    return match === null ? [] : [{ key: unescaped(match[1]!), value: unescaped(match[2]!), line }]
  })
}

/** Without comments and blank lines, leading blanks gone, continued lines joined. */
function logicalLines(text: string): readonly { readonly text: string; readonly line: number }[] {
  const lines: { text: string; line: number }[] = []
  let open = false
  for (const [index, natural] of text
    .replace(/^\ufeff/, '')
    .split(/\r\n|\r|\n/)
    .entries()) {
    const content = natural.replace(/^[ \t\f]+/, '')
    if (!open && (content === '' || /^[#!]/.test(content))) continue
    const continues = /(?:^|[^\\])(?:\\\\)*\\$/.test(content)
    const body = continues ? content.slice(0, -1) : content
    if (open) lines.at(-1)!.text += body
    else lines.push({ text: body, line: index + 1 })
    open = continues
  }
  return lines
}

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }

function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, char: string | undefined) =>
    hex === undefined ? (ESCAPES[char!] ?? char!) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
