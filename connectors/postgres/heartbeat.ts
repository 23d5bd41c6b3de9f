import type { Clock, Logger } from '../../runtime/api/index.ts'
import { Periodic, type ServiceConnection } from './service-connection.ts'

/** Prefix of the message that moves an idle slot. */
export const HEARTBEAT_PREFIX = 'kts-connect.heartbeat'

export interface HeartbeatParts {
  readonly connection: ServiceConnection
  /** As 150004. */
  readonly serverVersion: number
  readonly everyMs: number
  /** False: only the query is run. */
  readonly message: boolean
  readonly query: string | undefined
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Writes a little to the database's log now and then. Without it a database in which nothing happens, beside others on the
 * server that are busy, holds their WAL: its slot has nothing to confirm.
 */
export class Heartbeat {
  readonly #periodic: Periodic

  constructor(parts: HeartbeatParts) {
    const { connection, message, query, clock, log, everyMs } = parts
    const sql = messageSql(parts.serverVersion)
    this.#periodic = new Periodic({
      what: 'heartbeat',
      everyMs,
      clock,
      log,
      work: () =>
        connection.use(async client => {
          if (message) await client.query(sql, [HEARTBEAT_PREFIX])
          if (query !== undefined) await client.query(query)
        }),
    })
  }

  close(): Promise<void> {
    return this.#periodic.close()
  }
}

/**
 * Outside of any transaction, so that it costs no transaction id. From 17 on it is flushed at once; before, within about
 * 15 s (the background writer's next look).
 */
function messageSql(serverVersion: number): string {
  const flush = serverVersion >= 170_000 ? ', true' : ''
  return `SELECT pg_logical_emit_message(false, $1, ''${flush})`
}
