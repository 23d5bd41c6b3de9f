import type { ConnectorStatus, WorkerStatus } from '../runtime/index.ts'
import { type Column, escapeControls, formatBytes, formatCount } from './text.ts'

export const STATUS_COLUMNS: readonly Column[] = [
  { title: 'CONNECTOR' },
  { title: 'TYPE' },
  { title: 'STATE' },
  { title: 'RECORDS IN', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'BYTES IN', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'LAG', align: 'right' },
  { title: 'ERRORS', align: 'right' },
]

/** Records that reached the other side: the log, or what lies downstream of a sink. */
export function recordsOut({ kind, counters }: ConnectorStatus): number {
  return kind === 'source' ? counters.recordsLogged : counters.recordsDelivered
}

export function statusRow(connector: ConnectorStatus): readonly string[] {
  const { name, type, kind, state, counters, lag } = connector
  return [
    name,
    `${type} ${kind}`,
    state,
    formatCount(counters.recordsRead),
    formatCount(recordsOut(connector)),
    formatBytes(counters.bytesRead),
    formatBytes(counters.bytesOut),
    lag === undefined ? '' : formatCount(lag),
    formatCount(counters.errors),
  ]
}

/** What a table has no room for: why a task failed, what tasks report, what was dropped. */
export function statusNotes(status: WorkerStatus): readonly string[] {
  const notes: string[] = []
  for (const { name, tasks, facts, events, counters } of status.connectors) {
    for (const { id, state, trace } of tasks)
      if (trace !== undefined) notes.push(`${name} task ${id} ${state}: ${trace}`)
    for (const [fact, value] of Object.entries(facts)) notes.push(`${name} ${fact}: ${factText(fact, value)}`)
    const counted: readonly (readonly [string, number])[] = [
      ...Object.entries(events),
      ['filtered', counters.recordsFiltered],
      ['dead-lettered', counters.recordsDeadLettered],
      ['skipped', counters.recordsSkipped],
      ['aborted', counters.recordsAborted],
      ['retries', counters.retries],
    ]
    const shown = counted.filter(([, count]) => count > 0).map(([event, count]) => `${event} ${formatCount(count)}`)
    if (shown.length > 0) notes.push(`${name}: ${shown.join(', ')}`)
  }
  return notes.map(escapeControls)
}

function factText(fact: string, value: string | number): string {
  if (typeof value === 'string') return value
  return /(bytes|size)$/.test(fact) ? formatBytes(value) : formatCount(value)
}
