import { Lexer } from 'yaml'

export const DEPTH_MAX = 100

/** Byte order mark, document start, flow error, scalar marker: the lexer's own, they stand for no text. */
const CONTROL_TOKENS = new Set(['\ufeff', '\u0002', '\u0018', '\u001f'])

/**
 * The line (from 1) on which the text nests deeper than DEPTH_MAX, or undefined. Looks at tokens only and counts rather too
 * much than too little. It runs before the parser, whose recursion a hostile text can drive until the process dies.
 */
export function tooDeepLine(text: string): number | undefined {
  const indents: number[] = []
  let line = 1
  let flow = 0
  let indicators = 0
  let atLineStart = true
  for (const token of new Lexer().lex(text)) {
    if (atLineStart && flow === 0 && token !== '\n') {
      const indent = /^ +$/.test(token) ? token.length : 0
      while (indents.length > 0 && indents.at(-1)! >= indent) indents.pop()
      indents.push(indent)
    }
    if (token === '[' || token === '{') flow++
    else if (token === ']' || token === '}') flow = Math.max(0, flow - 1)
    else if (token === '-' || token === '?') indicators++
    if (indents.length + flow + indicators > DEPTH_MAX) return line
    const newlines = countNewlines(token)
    line += newlines
    if (newlines > 0) {
      atLineStart = true
      indicators = 0
    } else if (!CONTROL_TOKENS.has(token)) atLineStart = false
  }
  return undefined
}

function countNewlines(token: string): number {
  let count = 0
  for (let at = token.indexOf('\n'); at >= 0; at = token.indexOf('\n', at + 1)) count++
  return count
}
