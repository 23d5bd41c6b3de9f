import type { Counters } from '../../runtime/status.ts'

/** Records read whose fate nobody can tell: none, or the counters lie (runtime/status.ts). */
export function unaccounted(counters: Counters): number {
  const { recordsRead, recordsLogged, recordsDelivered, recordsFiltered, recordsDeadLettered } = counters
  const { recordsSkipped, recordsAborted, recordsInFlight, recordsAbandoned } = counters
  const gone = recordsFiltered + recordsDeadLettered + recordsSkipped + recordsAborted
  return recordsRead - recordsLogged - recordsDelivered - gone - recordsInFlight - recordsAbandoned
}
