import type { Form, TypeSettings } from './form.ts'
import { quoteBytes } from './json-output.ts'
import { text } from './text.ts'

/** PGSQL_AF_INET; IPv6 is the next. */
const INET = 2

/** inet and cidr: the server's text, which its binary form is made into (family, bits, whether cidr, size, address). */
export function address(settings: TypeSettings): Form {
  return readable(settings, (bytes, start) => {
    const isV4 = bytes[start] === INET
    const length = bytes[start + 1]!
    const at = start + 4
    const host = isV4 ? [...bytes.subarray(at, at + 4)].join('.') : v6(bytes, at)
    const whole = length === (isV4 ? 32 : 128) && bytes[start + 2] === 0
    return whole ? host : `${host}/${length}`
  })
}

/** macaddr and macaddr8. */
export function hardwareAddress(settings: TypeSettings): Form {
  return readable(settings, (bytes, start, end) => bytes.toString('hex', start, end).replace(/..(?!$)/g, '$&:'))
}

function readable(settings: TypeSettings, ofBinary: (bytes: Buffer, start: number, end: number) => string): Form {
  return {
    ...text(settings, { binary: 'other' }),
    writeText: quoteBytes,
    valueOfBinary: ofBinary,
    writeBinary: (bytes, start, end, into) => into.ascii(`"${ofBinary(bytes, start, end)}"`),
  }
}

/** The longest run of zeros is left out; an IPv4 address inside is written as such (inet_ntop). */
function v6(bytes: Buffer, at: number): string {
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + i * 2))
  const run = longestZeros(words)
  const holdsV4 =
    run.start === 0 &&
    (run.length === 6 || (run.length === 7 && words[7] !== 1) || (run.length === 5 && words[5] === 0xffff))
  let text = ''
  for (let i = 0; i < 8; ) {
    if (i === run.start && run.length > 1) {
      text += '::'
      i += run.length
      continue
    }
    if (text !== '' && !text.endsWith(':')) text += ':'
    if (i === 6 && holdsV4) return text + [...bytes.subarray(at + 12, at + 16)].join('.')
    text += words[i]!.toString(16)
    i++
  }
  return text
}

function longestZeros(words: readonly number[]): { start: number; length: number } {
  let best = { start: -1, length: 1 }
  for (let i = 0; i < words.length; i++) {
    let length = 0
    while (words[i + length] === 0) length++
    if (length > best.length) best = { start: i, length }
    i += length
  }
  return best
}
