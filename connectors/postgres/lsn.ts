import { KtsError } from '../../runtime/api/index.ts'

/**
 * A place in the write-ahead log, in bytes from its beginning. A number: 2^53 bytes are 9 petabytes of WAL, and what is
 * beyond is refused instead of rounded.
 */
export type Lsn = number

const HIGH = 2 ** 32

/** From the server's text, `16/B374D848`. Throws RangeError for anything else, and past 2^53. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text)
  if (match === null) throw new RangeError(`expected a WAL position such as 16/B374D848, got ${text}`)
  return safe(Number.parseInt(match[1]!, 16), Number.parseInt(match[2]!, 16))
}

/** As the server writes it. */
export function formatLsn(lsn: Lsn): string {
  return `${Math.floor(lsn / HIGH).toString(16)}/${(lsn % HIGH).toString(16)}`.toUpperCase()
}

/** Eight bytes of a message, big-endian. */
export function readLsn(bytes: Buffer, at: number): Lsn {
  return safe(word(bytes, at), word(bytes, at + 4))
}

/** Several times as fast as Buffer's own, and every message has one. */
function word(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function safe(high: number, low: number): Lsn {
  const lsn = high * HIGH + low
  if (Number.isSafeInteger(lsn)) return lsn
  throw new KtsError(
    'CONFIG_INVALID',
    `WAL position ${high.toString(16)}/${low.toString(16)} is past 2^53, more than this connector counts`,
  )
}
