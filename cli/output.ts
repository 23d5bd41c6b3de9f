import pc from 'picocolors'
import { type Column, clip, tableLines } from './text.ts'

/** Where a command writes: its data to standard output, everything said about it to standard error. */
export interface Output {
  /** Data, byte for byte. Resolves when more may be written: a slow reader slows us, not our memory. */
  data(bytes: string | Uint8Array): Promise<void>
  line(text: string): void
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void
  /** To standard error. */
  note(text: string): void
  readonly isTerminal: boolean
  readonly colours: Colours
}

export type Colours = ReturnType<typeof pc.createColors>

/** Colours only on a terminal and without NO_COLOR (picocolors decides, and knows FORCE_COLOR). */
export function processOutput(): Output {
  const { stdout, stderr } = process
  const isTerminal = stdout.isTTY === true
  const colours = pc.createColors(pc.isColorSupported && isTerminal)
  return {
    isTerminal,
    colours,
    data: bytes => new Promise(resolve => (stdout.write(bytes) ? resolve() : stdout.once('drain', resolve))),
    line: text => void stdout.write(`${text}\n`),
    table(columns, rows) {
      const [head = '', ...lines] = tableLines(columns, rows)
      stdout.write(`${colours.bold(head)}\n`)
      for (const line of lines) stdout.write(`${isTerminal ? clip(line, columnsOf(stdout)) : line}\n`)
    },
    note: text => void stderr.write(`${text}\n`),
  }
}

/** Of a terminal; one that was told no size, as some containers' are, says 0. */
export function columnsOf({ columns }: Pick<NodeJS.WriteStream, 'columns'>): number {
  return columns || 80
}
