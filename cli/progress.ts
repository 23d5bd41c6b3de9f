import { type Logger, systemClock } from '../base/index.ts'
import type { ConnectorStatus, WorkerStatus } from '../runtime/index.ts'
import { LiveStatus } from './live-status.ts'
import { jsonLogger, type LogLevel, terminalLogger } from './log.ts'
import { processOutput } from './output.ts'
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
      return stdout.columns
    },
    get rows() {
      return stdout.rows
    },
  }
  const live = new LiveStatus(screen, systemClock, processOutput().colours, 'kts-connect')
  return {
    log: terminalLogger(level, line => live.log(line)),
    show: status => live.show(status),
    end(status) {
      live.show(status)
      live.end()
    },
  }
}

/** A summary line per connector every 30 s and at the end, and each sink's first object. */
export function inLogLines(log: Logger, clock = systemClock): Progress {
  const announced = new Set<string>()
  let summarisedAt = clock.monotonic()
  const announce = ({ name, facts }: ConnectorStatus) => {
    const object = facts['last object']
    if (object === undefined || announced.has(name)) return
    announced.add(name)
    log.info({ connector: name, object, 'read it with': facts['read it with'] }, 'first object')
  }
  return {
    log,
    show(status) {
      status.connectors.forEach(announce)
      if (clock.monotonic() - summarisedAt < SUMMARY_MS) return
      summarisedAt = clock.monotonic()
      for (const connector of status.connectors) log.info(summary(connector), 'progress')
    },
    end(status) {
      status.connectors.forEach(announce)
      for (const connector of status.connectors) log.info(summary(connector), 'progress')
    },
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
