import { isUtf8 } from 'node:buffer'

/** How nginx escaped the values of a `log_format`: its `escape=` parameter. */
export type EscapeStyle = 'default' | 'json' | 'none'

const REPLACEMENT = '\uFFFD'

/**
 * A line as text. Where it is not UTF-8, each byte that does not belong is spelled `\xNN` as nginx's own escape does, so it is
 * marked and not lost; `valid` is false then. `backslash` is what the spelling begins with.
 */
export function decodeLine(bytes: Uint8Array, backslash = '\\'): { readonly text: string; readonly valid: boolean } {
  const text = view(bytes).toString('utf8')
  // A replacement character is rare, so its search is what every good line pays; it may also stand in the line itself.
  if (!text.includes(REPLACEMENT) || isUtf8(bytes)) return { text, valid: true }
  return { text: spell(bytes, backslash), valid: false }
}

function spell(bytes: Uint8Array, backslash: string): string {
  const parts: string[] = []
  let from = 0
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes, i)
    if (length > 0) {
      i += length
      continue
    }
    if (i > from) parts.push(view(bytes.subarray(from, i)).toString('utf8'))
    parts.push(`${backslash}x${bytes[i]!.toString(16).toUpperCase().padStart(2, '0')}`)
    i++
    from = i
  }
  parts.push(view(bytes.subarray(from)).toString('utf8'))
  return parts.join('')
}

/** Bytes of the UTF-8 sequence at `i` (RFC 3629), 0 when there is none. */
function sequenceLength(bytes: Uint8Array, i: number): number {
  const first = bytes[i]!
  if (first < 0x80) return 1
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  return i + length <= bytes.length && isUtf8(bytes.subarray(i, i + length)) ? length : 0
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * The value that was escaped. Text whose escapes do not give UTF-8, or that hold none that this style writes, stays as it
 * stands in the line: then nothing was lost and it can be seen what came.
 */
export function unescapeText(text: string, style: EscapeStyle): string {
  if (style === 'none') return text
  return style === 'json' ? unescapeJson(text) : unescapeBytes(text)
}

function unescapeJson(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return text
  }
}

// Apache's short escapes (ap_escape_logitem); nginx writes all of them as \xNN.
const SHORT: Readonly<Record<string, number>> = { '"': 34, '\\': 92, b: 8, n: 10, r: 13, t: 9, v: 11 }

/** nginx's `\xNN` and Apache's `\"`, `\\`, `\n`, `\t` and so on, which stand for bytes. */
function unescapeBytes(text: string): string {
  const bytes = Buffer.allocUnsafe(text.length * 3)
  let length = 0
  let from = 0
  for (let at = text.indexOf('\\'); at >= 0; at = text.indexOf('\\', from)) {
    length += bytes.write(text.slice(from, at), length, 'utf8')
    const short = SHORT[text.charAt(at + 1)]
    const byte = short ?? hexByte(text, at + 1)
    if (byte < 0) return text
    bytes[length++] = byte
    from = at + (short === undefined ? 4 : 2)
  }
  length += bytes.write(text.slice(from), length, 'utf8')
  const decoded = bytes.subarray(0, length)
  return isUtf8(decoded) ? decoded.toString('utf8') : text
}

/** The byte of `xNN` at `at`, or -1. */
function hexByte(text: string, at: number): number {
  if (text.charAt(at) !== 'x') return -1
  const high = hexDigit(text.charCodeAt(at + 1))
  const low = hexDigit(text.charCodeAt(at + 2))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
