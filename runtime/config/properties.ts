/** Java's `.properties` (java.util.Properties, UTF-8): comments, `=`, `:` or blanks between, continuation and escapes. */
export function parseProperties(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const line of logicalLines(text)) {
    const match = /^((?:\\.|[^\\=:\s])*)[ \t\f]*[=:]?[ \t\f]*(.*)$/s.exec(line)
    if (match !== null) values.set(unescaped(match[1]!), unescaped(match[2]!))
  }
  return values
}

/** Without comments and blank lines, leading blanks gone, continued lines joined. */
function logicalLines(text: string): readonly string[] {
  const lines: string[] = []
  let open = false
  for (const natural of text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/)) {
    const line = natural.replace(/^[ \t\f]+/, '')
    if (!open && (line === '' || /^[#!]/.test(line))) continue
    const continues = /(?:^|[^\\])(?:\\\\)*\\$/.test(line)
    const body = continues ? line.slice(0, -1) : line
    if (open) lines.push(lines.pop()! + body)
    else lines.push(body)
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
