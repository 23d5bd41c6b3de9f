import { decimalForm, decimalString, double } from './decimals.ts'
import { type Form, type TypeSettings, unreadable } from './form.ts'
import { plainText, readText } from './numeric-digits.ts'

/**
 * money, whose text is that of the server's lc_monetary (`$1,234.11`, `-1.234,11 €`, `(¥15)`). The binary form is of no
 * use: it does not say how many digits are behind the point.
 */
export function money(settings: TypeSettings): Form {
  const scale = settings.moneyDigits
  const read = (bytes: Buffer, start: number, end: number) => {
    const plain = Buffer.from(plainDigits(bytes, start, end), 'latin1')
    return readText(plain, 0, plain.length, scale)
  }
  const textOf = { text: (bytes: Buffer, start: number, end: number) => plainText(read(bytes, start, end), scale) }
  const form =
    settings.decimals === 'double'
      ? double(textOf)
      : settings.decimals === 'string'
        ? decimalString(scale, textOf, settings)
        : decimalForm(scale, { scale: String(scale) }, settings, { text: read })
  const { generated: _noDefaults, lacks: _nothing, ...complete } = form
  return complete
}

/** `-1234.11` of what the locale made of it. */
function plainDigits(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end)
  const number = /\d(?:.*\d)?/.exec(text)?.[0]
  if (number === undefined) throw unreadable('money', bytes, start, end)
  const separators = number.replace(/\d/g, '')
  const last = separators.at(-1)
  const behind = last === undefined ? 0 : number.length - number.lastIndexOf(last) - 1
  // Three digits behind the last separator are a group, unless it is another one than those before it.
  const isPoint =
    last !== undefined &&
    (behind !== 3 || (separators.length > 1 && separators.indexOf(last) === separators.length - 1))
  const digits = number.replace(/\D/g, '')
  const sign = /[-(]/.test(text) ? '-' : ''
  return isPoint ? `${sign}${digits.slice(0, -behind)}.${digits.slice(-behind)}` : sign + digits
}
