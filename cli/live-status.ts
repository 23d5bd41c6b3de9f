import type { Clock } from '../base/index.ts'
import type { WorkerStatus } from '../runtime/index.ts'
import type { Colours } from './output.ts'
import { recordsOut, STATUS_COLUMNS, statusNotes, statusRow } from './status-text.ts'
import { type Column, clip, formatBytes, formatCount, formatDuration, tableLines } from './text.ts'

/** The terminal, as the display needs it. */
export interface Screen {
  write(text: string): void
  readonly columns: number
  readonly rows: number
}

const RATE_COLUMNS: readonly Column[] = [
  { title: 'IN/S', align: 'right' },
  { title: 'OUT/S', align: 'right' },
  { title: 'BYTES/S', align: 'right' },
]

/** A table at the bottom of the terminal, drawn over itself; log lines go above it. */
export class LiveStatus {
  readonly #screen: Screen
  readonly #clock: Clock
  readonly #colours: Colours
  readonly #header: string
  #drawn: readonly string[] = []
  #previous: { at: number; status: WorkerStatus } | undefined

  constructor(screen: Screen, clock: Clock, colours: Colours, header: string) {
    this.#screen = screen
    this.#clock = clock
    this.#colours = colours
    this.#header = header
  }

  /** Draws `status`; rates are those since the last time. */
  show(status: WorkerStatus): void {
    const at = this.#clock.monotonic()
    const rows = status.connectors.map(connector => [
      ...statusRow(connector),
      ...this.#rates(status, connector.name, at),
    ])
    this.#previous = { at, status }
    const [head = '', ...lines] = tableLines([...STATUS_COLUMNS, ...RATE_COLUMNS], rows)
    const uptime = formatDuration(this.#clock.now() - status.startedAt)
    const all = [`${this.#header} · up ${uptime} · Ctrl-C stops`, head, ...lines, '', ...statusNotes(status)]
    this.#draw(all.slice(0, Math.max(1, this.#screen.rows - 1)).map(line => clip(line, this.#screen.columns - 1)))
  }

  /** Writes a whole log line above the table. */
  log(line: string): void {
    const drawn = this.#drawn
    this.#clear()
    this.#screen.write(line)
    this.#draw(drawn)
  }

  /** Leaves the last table standing and the cursor below it. */
  end(): void {
    this.#drawn = []
  }

  #draw(lines: readonly string[]): void {
    this.#clear()
    const coloured = lines.map((line, i) =>
      i === 0 ? this.#colours.dim(line) : i === 1 ? this.#colours.bold(line) : line,
    )
    if (coloured.length > 0) this.#screen.write(`${coloured.join('\n')}\n`)
    this.#drawn = lines
  }

  #clear(): void {
    // To the first column (a terminal echoes `^C` into the line), cursor up to the first drawn line, then clear to the end
    // of the screen (ECMA-48 CUU and ED).
    if (this.#drawn.length > 0) this.#screen.write(`\r\u001b[${this.#drawn.length}A\u001b[0J`)
    this.#drawn = []
  }

  #rates(status: WorkerStatus, name: string, at: number): readonly string[] {
    const find = (where: WorkerStatus | undefined) => where?.connectors.find(connector => connector.name === name)
    const now = find(status)
    const before = find(this.#previous?.status)
    const seconds = (at - (this.#previous?.at ?? at)) / 1000
    if (now === undefined || before === undefined || seconds <= 0) return ['', '', '']
    return [
      formatCount((now.counters.recordsRead - before.counters.recordsRead) / seconds),
      formatCount((recordsOut(now) - recordsOut(before)) / seconds),
      formatBytes((now.counters.bytesRead - before.counters.bytesRead) / seconds),
    ]
  }
}
