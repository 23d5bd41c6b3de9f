const UNITS = ['KiB', 'MiB', 'GiB', 'TiB']

/** `512 bytes`, `12.3 MiB`: for messages. */
export function byteSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`
  let value = bytes
  let unit = -1
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`
}
