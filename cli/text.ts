/** What people read: escaped, aligned, in units. */

// C0 and C1 controls, line separators, and the marks that turn the direction of text: each can rewrite a terminal's line.
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Replaces control characters by `\u00XX`, valid in JSON strings as well; other text is unchanged. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, control => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** `1,234,567` */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** `217 B`, `1.5 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `3s`, `2m 05s`, `1h 02m`, `4d 3h` */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const two = (n: number) => n.toString().padStart(2, '0')
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two(Math.floor(seconds / 60) % 60)}m`
  return `${Math.floor(seconds / 86_400)}d ${Math.floor(seconds / 3600) % 24}h`
}

export interface Column {
  readonly title: string
  readonly align?: 'right'
}

/** Lines of a table, columns two spaces apart, without colours; cells are escaped. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): readonly string[] {
  const cells = rows.map(row => row.map(escapeControls))
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map(row => row[i]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    columns
      .map(({ align }, i) => (align === 'right' ? row[i]!.padStart(widths[i]!) : row[i]!.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  return [line(columns.map(({ title }) => title)), ...cells.map(line)]
}

/** Cut to `width` characters, marked with `…`. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}
