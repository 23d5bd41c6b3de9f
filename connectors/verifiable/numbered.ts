import { crc32c, PackedRecords } from '../../runtime/api/index.ts'

/**
 * A numbered record: `{"source":"orders/0","seq":12,"payload":"xxxx","check":"0badcafe"}`. The check is the CRC-32C, in
 * hexadecimal, of every byte before `,"check"`, so it covers all that could be altered.
 */
const CHECK = Buffer.from(',"check":"')
const TAIL = Buffer.from('"}')
const CHECK_DIGITS = 8
const SEQ_DIGITS_MAX = 16

/** Numbers `from` up to, not including, `to` of one source, each at least `payloadBytes` of padding long. */
export function packNumbered(
  source: string,
  from: number,
  to: number,
  payloadBytes: number,
  timestamp: number,
): PackedRecords {
  const before = Buffer.from(`{"source":${JSON.stringify(source)},"seq":`)
  const behind = Buffer.from(`,"payload":"${'x'.repeat(payloadBytes)}"`)
  const count = to - from
  const sizeMax = before.length + SEQ_DIGITS_MAX + behind.length + CHECK.length + CHECK_DIGITS + TAIL.length
  const bytes = Buffer.allocUnsafe(count * sizeMax)
  const valueStarts = new Int32Array(count)
  const valueEnds = new Int32Array(count)
  let at = 0
  for (let i = 0; i < count; i++) {
    const start = at
    at += before.copy(bytes, at)
    at += bytes.write(String(from + i), at, 'latin1')
    at += behind.copy(bytes, at)
    const check = hex(crc32c(bytes.subarray(start, at)))
    at += CHECK.copy(bytes, at)
    at += bytes.write(check, at, 'latin1')
    at += TAIL.copy(bytes, at)
    valueStarts[i] = start
    valueEnds[i] = at
  }
  return new PackedRecords({ count, bytes: bytes.subarray(0, at), valueStarts, valueEnds, timestamps: timestamp })
}

/** Undefined for what is no numbered record; not `intact` when the check does not fit the rest. */
export function readNumbered(
  value: Uint8Array,
): { readonly source: string; readonly seq: number; readonly intact: boolean } | undefined {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
  if (typeof json !== 'object' || json === null || !('source' in json) || !('seq' in json)) return undefined
  const { source, seq } = json
  if (typeof source !== 'string' || typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) return undefined
  const end = bytes.length - CHECK.length - CHECK_DIGITS - TAIL.length
  const check = `${CHECK}${hex(crc32c(bytes.subarray(0, Math.max(0, end))))}${TAIL}`
  return { source, seq, intact: end > 0 && bytes.toString('latin1', end) === check }
}

function hex(crc: number): string {
  return (crc >>> 0).toString(16).padStart(CHECK_DIGITS, '0')
}
