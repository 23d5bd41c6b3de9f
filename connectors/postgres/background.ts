import type { TaskContext } from '../../runtime/api/index.ts'
import { AttachedPartitions } from './attached-partitions.ts'
import { capturedTables } from './catalog.ts'
import { Heartbeat } from './heartbeat.ts'
import type { PostgresOptions } from './options.ts'
import { ensurePublication, publicationState } from './publication.ts'
import type { RewrittenTables } from './rewritten-tables.ts'
import { setReplicaIdentities } from './replica-identity-rules.ts'
import { Periodic, ServiceConnection } from './service-connection.ts'
import { type Session, tablesSince } from './session.ts'
import { checkPublication } from './slot-check.ts'
import { SlotMonitor } from './slot-health.ts'
import type { TableInfo } from './table-info.ts'
import { UnloggedTables } from './unlogged-tables.ts'
import { UnpublishedTables } from './unpublished-tables.ts'

/** How often new tables are looked for. */
const TABLES_EVERY_MS = 5000

/** Hears which tables are captured now. */
export interface CapturedTables {
  /** Those that were last known. */
  readonly tables: () => readonly TableInfo[]
  readonly rewritten: RewrittenTables
  /** Of those that were not there before, some were made so late that all of their rows are in the stream. */
  added(oids: readonly number[], streamed: readonly number[]): Promise<void>
  left(oids: readonly number[]): void
  /** The publication is not the one that the stream was begun with. */
  lost(error: unknown): void
}

/** What goes on beside the stream: heartbeats, an eye on the slot, and tables that are new. */
export class Background {
  readonly #connection: ServiceConnection
  readonly #parts: readonly { close(): Promise<void> }[]

  constructor(
    session: Session,
    options: PostgresOptions,
    context: TaskContext,
    { tables, rewritten, added, left, lost }: CapturedTables,
  ) {
    const { clock, log, report } = context
    const connection = new ServiceConnection(session.connections, clock)
    this.#connection = connection
    const message = options['slot.heartbeat.interval.ms'] > 0
    const everyMs = message ? options['slot.heartbeat.interval.ms'] : options['heartbeat.interval.ms']
    const query = options['heartbeat.action.query']
    const { serverVersion } = session.catalog
    const attached = new AttachedPartitions(log, session.attachedSince)
    const unlogged = new UnloggedTables(log)
    const unpublished = new UnpublishedTables(options, session.filter, log)
    const look = async () => {
      const publication = options['publication.name']
      await connection.use(async client => {
        const state = await publicationState(client, publication)
        try {
          checkPublication(publication, state?.oid, session.position)
        } catch (error) {
          lost(error)
          return
        }
        await setReplicaIdentities(client, options, session.filter, log)
        await ensurePublication(client, options, session.filter, log)
        const found = (await capturedTables(client, session.filter, { publication })).map(table => table.oid)
        const known = tables().map(table => table.oid)
        const isFound = new Set(found)
        left(known.filter(oid => !isFound.has(oid)))
        await attached.look(client, found)
        await unlogged.look(client, found)
        await unpublished.look(client, state)
        const isKnown = new Set(known)
        const unknown = found.filter(oid => !isKnown.has(oid))
        await rewritten.look(client, found, unknown)
        if (unknown.length === 0) return
        await added(unknown, await tablesSince(client, publication, session.filter, session.position.since))
      })
    }
    this.#parts = [
      new SlotMonitor({ connection, slotName: options['slot.name'], clock, log, report, start: options }),
      new Periodic({ what: 'looking for new tables', everyMs: TABLES_EVERY_MS, clock, log, work: look }),
      ...(everyMs > 0 && (message || query !== undefined)
        ? [new Heartbeat({ connection, serverVersion, everyMs, message, query, clock, log })]
        : []),
    ]
  }

  async close(): Promise<void> {
    const ending = Promise.all(this.#parts.map(part => part.close()))
    await this.#connection.close()
    await ending
  }
}
