import { KtsError } from '../../runtime/api/index.ts'

export const COPY_DATA = 0x64
export const COPY_DONE = 0x63
const ERROR = 0x45
const COMMAND_COMPLETE = 0x43
/** What may come at any time and is no part of the COPY: notice, notification, parameter status. */
export const ASIDE = new Set([0x4e, 0x41, 0x53])
export const HEADER_BYTES = 5

/** The server's own bound of a message (MaxAllocSize) is a gigabyte. */
const MESSAGE_MAX = 0x3fffffff
/** Notices and errors are text. */
const OTHER_MESSAGE_MAX = 1 << 20

/** Throws CORRUPT_MESSAGE for what is no message of a COPY: a length of its own is not to be trusted. */
export function checkLength(kind: number, length: number): void {
  const most = kind === COPY_DATA ? MESSAGE_MAX : OTHER_MESSAGE_MAX
  const known =
    kind === COPY_DATA || kind === COPY_DONE || kind === ERROR || kind === COMMAND_COMPLETE || ASIDE.has(kind)
  if (known && length >= 4 && length <= most) return
  const found = `byte 0x${kind.toString(16).padStart(2, '0')} with length ${length}`
  throw new KtsError('CORRUPT_MESSAGE', `COPY from the server: expected a message of it, found ${found}; reconnect`)
}
