const DURATIONS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SIZES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

/** As JSON Schema patterns; the parsers below take exactly these. */
export const DURATION_PATTERN = '^[0-9]+(ms|s|m|h|d)?$'
export const SIZE_PATTERN = '^[0-9]+(B|[kK]B|[MGT]B|[KMGT]iB)?$'

/** Milliseconds of `500ms`, `10s`, `5m`, `2h`, `7d` or a bare number; undefined for anything else or past 2^53. */
export function parseDuration(text: string): number | undefined {
  return parseUnits(text, new RegExp(DURATION_PATTERN), DURATIONS)
}

/** Bytes of `64MiB` (1024s), `10MB` (1000s) or a bare number; undefined for anything else or past 2^53. */
export function parseSize(text: string): number | undefined {
  return parseUnits(text, new RegExp(SIZE_PATTERN), SIZES)
}

function parseUnits(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const unit = match[1]
  const digits = unit === undefined ? text : text.slice(0, -unit.length)
  const value = Number(digits) * (unit === undefined ? 1 : units[unit]!)
  return Number.isSafeInteger(value) ? value : undefined
}
