import type { Decimal } from './schema.ts'

/**
 * Numbers as Java writes them (Double.toString, Float.toString, BigDecimal.toString), and so Connect's converters: `100.0`,
 * `1.0E21`, `4.9E-324`, `NaN`.
 */
export function doubleText(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e-3 && size < 1e7) return decimal(String(value))
  if (size === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  if (!Number.isFinite(value)) return String(value)
  // Java gives two digits at least, so below this the second one shows (4.9E-324, where 5e-324 is enough).
  return scientific(size < 1e-300 ? twoDigits(value) : value.toExponential())
}

/** Of the nearest 32-bit float: no more digits than that has. */
export function floatText(value: number): string {
  const float = Math.fround(value)
  const size = Math.abs(float)
  if (size === 0 || !Number.isFinite(float)) return doubleText(float)
  const shortest = shortestFloat(float, size)
  return size >= 1e-3 && size < 1e7 ? decimal(String(shortest)) : scientific(shortest.toExponential())
}

/** `123.45`, `1E-40`, `5E+2`. */
export function decimalText({ unscaled, scale }: Decimal): string {
  const negative = unscaled < 0n
  const digits = (negative ? -unscaled : unscaled).toString()
  const sign = negative ? '-' : ''
  const exponent = digits.length - 1 - scale
  if (scale >= 0 && exponent >= -6) {
    if (scale === 0) return sign + digits
    const padded = digits.padStart(scale + 1, '0')
    return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`
  }
  const mantissa = digits.length === 1 ? digits : `${digits[0]}.${digits.slice(1)}`
  return `${sign}${mantissa}E${exponent < 0 ? '' : '+'}${exponent}`
}

function decimal(text: string): string {
  return text.includes('.') ? text : `${text}.0`
}

/** From toExponential's `1.5e+21`. */
function scientific(text: string): string {
  const [mantissa = '', exponent = ''] = text.split('e')
  return `${decimal(mantissa)}E${exponent.replace('+', '')}`
}

function twoDigits(value: number): string {
  const shortest = value.toExponential()
  return shortest.includes('.') ? shortest : value.toExponential(1)
}

/** The decimal of fewest digits that is this float; six always survive a normal one. */
function shortestFloat(float: number, size: number): number {
  for (let digits = size < 1.2e-38 ? 2 : 6; digits < 9; digits++) {
    const rounded = Number(float.toPrecision(digits))
    if (Math.fround(rounded) === float) return evenOfTwo(float, digits) ?? rounded
  }
  return Number(float.toPrecision(9))
}

/** Where a float lies in the middle of two decimals of so many digits: the one that ends in an even digit, if it is below. */
function evenOfTwo(float: number, digits: number): number | undefined {
  const [mantissa = '', exponent = ''] = float.toExponential(digits).split('e')
  if (!/[02468]5$/.test(mantissa) || Number(`${mantissa}e${exponent}`) !== float) return undefined
  const even = Number(`${mantissa.slice(0, -1)}e${exponent}`)
  return Math.fround(even) === float ? even : undefined
}
