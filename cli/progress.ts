import { type Logger, systemClock } from '../base/index.ts'
import type { ConnectorStatus, WorkerStatus } from '../runtime/index.ts'
import { LiveStatus } from './live-status.ts'
import { jsonLogger, type LogLevel, terminalLogger } from './log.ts'
import { columnsOf, processOutput } from './output.ts'
import { recordsOut } from './status-text.ts'

/** How a running worker tells what it does: a table on a terminal, log lines elsewhere. */
export interface Progress {
  readonly log: Logger
  /** Called about once a second. */
  show(status: WorkerStatus): void
  /** The last word. */
  end(status: WorkerStatus): void
}

const SUMMARY_MS = 30_000

export function openProgress(level: LogLevel): Progress {
  const { stdout } = process
  return stdout.isTTY ? onTerminal(level, stdout) : inLogLines(jsonLogger(level, line => void stdout.write(line)))
}

function onTerminal(level: LogLevel, stdout: NodeJS.WriteStream): Progress {
  const screen = {
    write: (text: string) => void stdout.write(text),
    get columns() {
      return columnsOf(stdout)
    },
    get rows() {
      return stdout.rows || 24
    },
  }
  const live = new LiveStatus(screen, systemClock, processOutput().colours, 'kts-connect')
  return withTable(
    live,
    terminalLogger(level, line => live.log(line)),
  )
}

/** The table, and each sink's first object above it: whole, while the table's lines are cut to the terminal's width. */
export function withTable(live: LiveStatus, log: Logger): Progress {
  const announce = firstObjects(log)
  return {
    log,
    show(status) {
      announce(status)
      live.show(status)
    },
    end(status) {
      announce(status)
      live.show(status)
      live.end()
    },
  }
}

/** A summary line per connector every 30 s and at the end, and each sink's first object. */
export function inLogLines(log: Logger, clock = systemClock): Progress {
  const announce = firstObjects(log)
  let summarisedAt = clock.monotonic()
  return {
    log,
    show(status) {
      announce(status)
      if (clock.monotonic() - summarisedAt < SUMMARY_MS) return
      summarisedAt = clock.monotonic()
      for (const connector of status.connectors) log.info(summary(connector), 'progress')
    },
    end(status) {
      announce(status)
      for (const connector of status.connectors) log.info(summary(connector), 'progress')
    },
  }
}

/** Says once of each sink where its first object lies and how to read it. */
function firstObjects(log: Logger): (status: WorkerStatus) => void {
  const announced = new Set<string>()
  return ({ connectors }) => {
    for (const { name, facts } of connectors) {
      const object = facts['last object']
      if (object === undefined || announced.has(name)) continue
      announced.add(name)
      log.info({ connector: name, object, 'read it with': facts['read it with'] }, 'first object')
    }
  }
}

function summary(connector: ConnectorStatus): object {
  const { name, state, counters, lag, facts, events } = connector
  const { recordsRead, bytesRead, recordsFiltered, recordsDeadLettered, recordsSkipped, errors } = counters
  const counts = {
    recordsRead,
    recordsOut: recordsOut(connector),
    recordsFiltered,
    recordsDeadLettered,
    recordsSkipped,
  }
  return { connector: name, state, ...counts, bytesRead, lag, errors, facts, events }
}
