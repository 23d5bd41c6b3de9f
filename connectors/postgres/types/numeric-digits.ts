import { unreadable } from './form.ts'

/** What numeric can be without being a number; from PostgreSQL 14 on infinities too. */
export type Special = 'NaN' | 'Infinity' | '-Infinity'

/** Answers a value as an integer of its last digit (12.34 as 1234). */
export type Reader = (bytes: Buffer, start: number, end: number) => number | bigint | Special

const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const SAFE_DIGITS = 15
const POWERS = Array.from({ length: SAFE_DIGITS + 1 }, (_, exponent) => 10 ** exponent)
const SIGN_NEGATIVE = 0x4000
const SPECIALS: ReadonlyMap<number, Special> = new Map([
  [0xc000, 'NaN'],
  [0xd000, 'Infinity'],
  [0xf000, '-Infinity'],
])
const SPECIAL_TEXTS: ReadonlySet<string> = new Set(SPECIALS.values())
/** Of a number that shifting by one base-10000 digit leaves safe. */
const SHIFTABLE = 900_000_000_000

/** value * 10^scale of the text, `-12.340`; half away from zero where it has more digits, which only defaults have. */
export function readText(bytes: Buffer, start: number, end: number, scale: number): number | bigint | Special {
  const negative = bytes[start] === MINUS
  const first = negative ? start + 1 : start
  let point = end
  let value = 0
  for (let i = first; i < end; i++) {
    const digit = bytes[i]! - ZERO
    if (digit >= 0 && digit <= 9) value = value * 10 + digit
    else if (bytes[i] === POINT && point === end) point = i
    else return specialOf(bytes, start, end)
  }
  if (first === end) throw unreadable('a numeric', bytes, start, end)
  const shift = scale - (point === end ? 0 : end - point - 1)
  if (end - first > SAFE_DIGITS || shift < 0 || end - first + shift > SAFE_DIGITS) {
    const digits = BigInt(bytes.toString('latin1', start, end).replace('.', ''))
    return scaled(digits, shift)
  }
  value *= POWERS[shift]!
  return negative && value !== 0 ? -value : value
}

function specialOf(bytes: Buffer, start: number, end: number): Special {
  const text = bytes.toString('latin1', start, end)
  if (SPECIAL_TEXTS.has(text)) return text as Special
  throw unreadable('a numeric', bytes, start, end)
}

/** The same of the binary form (numeric_send): count, weight of the first, sign, digits shown, then digits to base 10000. */
export function readBinary(bytes: Buffer, start: number, end: number, scale: number): number | bigint | Special {
  const sign = bytes.readUInt16BE(start + 4)
  const special = SPECIALS.get(sign)
  if (special !== undefined) return special
  const count = Math.min(bytes.readUInt16BE(start), (end - start - 8) >> 1)
  const shift = (bytes.readInt16BE(start + 2) - count + 1) * 4 + scale
  let value = 0
  let i = 0
  for (; i < count && value < SHIFTABLE; i++) value = value * 10000 + bytes.readUInt16BE(start + 8 + i * 2)
  if (i === count) {
    const shifted = shift >= 0 ? value * (POWERS[shift] ?? Number.POSITIVE_INFINITY) : divided(value, -shift)
    if (shifted <= Number.MAX_SAFE_INTEGER) return sign === SIGN_NEGATIVE && shifted !== 0 ? -shifted : shifted
  }
  let digits = ''
  for (let k = 0; k < count; k++) digits += String(bytes.readUInt16BE(start + 8 + k * 2)).padStart(4, '0')
  const whole = scaled(BigInt(digits), shift)
  return sign === SIGN_NEGATIVE ? -whole : whole
}

/** Infinity where that is not exact with numbers, so that the caller goes the long way. */
function divided(value: number, exponent: number): number {
  const power = POWERS[exponent] ?? Number.POSITIVE_INFINITY
  const quotient = value / power
  return Number.isInteger(quotient) && value <= Number.MAX_SAFE_INTEGER ? quotient : Number.POSITIVE_INFINITY
}

function scaled(digits: bigint, shift: number): bigint {
  if (shift >= 0) return digits * 10n ** BigInt(shift)
  const power = 10n ** BigInt(-shift)
  const half = power / 2n
  return (digits < 0n ? digits - half : digits + half) / power
}

/** value / 10^scale with all its digits and no exponent, as the server writes numeric. */
export function plainText(value: number | bigint | Special, scale: number): string {
  if (typeof value === 'string' || scale === 0) return String(value)
  const negative = value < 0
  const digits = (negative ? -BigInt(value) : BigInt(value)).toString().padStart(scale + 1, '0')
  return `${negative ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}
