import type { Counters } from './status.ts'

/** The counters of one connector, shared by its tasks. Members are public: they are changed once per batch. */
export class ConnectorCounters implements Counters {
  recordsRead = 0
  bytesRead = 0
  recordsLogged = 0
  recordsDelivered = 0
  bytesOut = 0
  recordsFiltered = 0
  recordsDeadLettered = 0
  recordsSkipped = 0
  recordsAborted = 0
  recordsInFlight = 0
  recordsAbandoned = 0
  errors = 0
  retries = 0
  readonly facts: Record<string, string | number> = {}
  readonly events: Record<string, number> = {}

  count(name: string, by = 1): void {
    this.events[name] = (this.events[name] ?? 0) + by
  }

  report(facts: Readonly<Record<string, string | number>>): void {
    Object.assign(this.facts, facts)
  }

  snapshot(): Counters {
    const { facts: _facts, events: _events, ...counters } = this
    return counters
  }
}
