/**
 * The code of a TypeScript file without what is only text: comments and the contents of strings, template texts and
 * regular expressions become spaces, so that positions and lines stay. What stands in `${}` of a template is code.
 */
export function codeOnly(source: string): string {
  const out = source.split('')
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== '\n') out[i] = ' '
  }
  // For each open template: how many braces are open inside its current `${`.
  const templates: number[] = []
  let i = 0
  while (i < source.length) {
    const char = source[i]!
    const start = i
    if (char === '/' && (source[i + 1] === '/' || source[i + 1] === '*')) {
      i = endOfComment(source, i)
      blank(start, i)
    } else if (char === "'" || char === '"') {
      i = endOfString(source, i)
      blank(start + 1, i - 1)
    } else if (char === '/' && startsRegExp(out, i)) {
      i = endOfRegExp(source, i)
      blank(start + 1, i - 1)
    } else if (char === '`' || (char === '}' && templates.at(-1) === 0)) {
      if (char === '}') templates.pop()
      i = endOfTemplateText(source, i + 1)
      blank(start + 1, i - 1)
      if (source[i - 1] === '{') {
        templates.push(0)
        blank(i - 2, i)
      }
      if (char === '}') blank(start, start + 1)
    } else {
      if (templates.length > 0 && char === '{') templates[templates.length - 1]!++
      if (templates.length > 0 && char === '}') templates[templates.length - 1]!--
      i++
    }
  }
  return out.join('')
}

function endOfComment(source: string, at: number): number {
  const end = source[at + 1] === '/' ? source.indexOf('\n', at) : source.indexOf('*/', at + 2) + 2
  return end < at ? source.length : end
}

function endOfString(source: string, at: number): number {
  let i = at + 1
  while (i < source.length && source[i] !== source[at]) i += source[i] === '\\' ? 2 : 1
  return i + 1
}

/** Behind the closing backquote, or behind the `${` that interrupts the text. */
function endOfTemplateText(source: string, at: number): number {
  let i = at
  while (i < source.length && source[i] !== '`') {
    if (source[i] === '$' && source[i + 1] === '{') return i + 2
    i += source[i] === '\\' ? 2 : 1
  }
  return i + 1
}

/** A slash divides behind a value, and begins a regular expression elsewhere. */
function startsRegExp(code: readonly string[], at: number): boolean {
  let i = at - 1
  while (i >= 0 && /\s/.test(code[i]!)) i--
  if (i < 0) return true
  const word = code
    .slice(Math.max(0, i - 10), i + 1)
    .join('')
    .match(/[\w$]+$/)?.[0]
  if (word !== undefined) return /^(return|typeof|case|in|of|await|void|yield|else|do)$/.test(word)
  return !/[)\]}'"`]/.test(code[i]!)
}

function endOfRegExp(source: string, at: number): number {
  let inClass = false
  let i = at + 1
  while (i < source.length && source[i] !== '\n' && (inClass || source[i] !== '/')) {
    if (source[i] === '[') inClass = true
    else if (source[i] === ']') inClass = false
    i += source[i] === '\\' ? 2 : 1
  }
  return i + 1
}

/** Everything a file imports or re-exports, dynamic imports and `require` with a literal included. */
export function importsOf(source: string): { readonly specifier: string; readonly line: number }[] {
  const found = []
  for (const match of codeOnly(source).matchAll(/\b(?:from|import|require)\b\s*\(?\s*(['"])/g)) {
    const start = match.index + match[0].length
    const specifier = source.slice(start, source.indexOf(match[1]!, start))
    found.push({ specifier, line: lineAt(source, match.index) })
  }
  return found
}

/** Blocks of a function, method or control statement with more than `linesMax` lines: where, and how long. */
export function longBlocks(source: string, linesMax: number): { readonly line: number; readonly lines: number }[] {
  const code = codeOnly(source)
  const open: number[] = []
  const found = []
  for (let i = 0; i < code.length; i++) {
    if (code[i] === '{') open.push(i)
    if (code[i] !== '}') continue
    const start = open.pop()
    if (start === undefined) continue
    const line = lineAt(code, start)
    const lines = lineAt(code, i) - line + 1
    if (lines > linesMax && isStatementBlock(code.slice(0, start))) found.push({ line, lines })
  }
  return found
}

/** Whether a brace behind this code opens statements, not a class body, a type or an object. */
function isStatementBlock(before: string): boolean {
  const head = before.slice(Math.max(0, before.length - 400)).trimEnd()
  if (head.endsWith('=>')) return true
  if (/[=(,:[?|&]$|\b(return|satisfies|default|from|import|export|type)$/.test(head)) return false
  return !/\b(class|interface)\s[^;{}]*$/.test(head)
}

export function lineAt(text: string, index: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i >= 0 && i < index; i = text.indexOf('\n', i + 1)) line++
  return line
}
