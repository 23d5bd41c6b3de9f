import { KtsError, type SourceBatch, type TaskContext } from '../../runtime/api/index.ts'
import { closeClient } from './connection.ts'
import { type EventBatch, EventColumns, type Events } from './events/index.ts'
import type { PostgresOptions } from './options.ts'
import type { ExportedSnapshot, Session } from './session.ts'
import { type InitialSnapshot, openInitialSnapshot } from './snapshot/index.ts'
import { rowsToRead, warnOfUnusedOverrides } from './snapshot-overrides.ts'
import { SnapshotRows } from './snapshot-rows.ts'
import type { TableInfo } from './table-info.ts'

/** Reads the rows of the captured tables as of the place where the stream will begin. */
export class InitialPhase {
  readonly #snapshot: InitialSnapshot
  readonly #rows: SnapshotRows
  readonly #batch: EventBatch
  /** A stream follows, beside which what is left can be read. */
  readonly #streams: boolean
  #finished = false

  private constructor(snapshot: InitialSnapshot, rows: SnapshotRows, batch: EventBatch, streams: boolean) {
    this.#streams = streams
    this.#snapshot = snapshot
    this.#rows = rows
    this.#batch = batch
  }

  static async open(
    session: Session,
    exported: ExportedSnapshot,
    options: PostgresOptions,
    { events, batch, binary }: { readonly events: Events; readonly batch: EventBatch; readonly binary: boolean },
    context: TaskContext,
  ): Promise<InitialPhase> {
    const { connections, plan, generatedColumns } = session
    const { clock, random, log, signal } = context
    const server = options['topic.prefix']
    const columns = new EventColumns(options)
    warnOfUnusedOverrides(options, plan.initial, log)
    try {
      const snapshot = await openInitialSnapshot({
        connect: () => connections.regular(signal),
        snapshotName: exported.name,
        lsn: exported.lsn,
        server,
        tables: plan.initial,
        options,
        binary,
        generatedColumns,
        needed: ({ relation, info }) => columns.of(relation, info),
        rowsToRead: rowsToRead(options),
        clock,
        random,
        log,
        report: facts => context.report(facts),
      })
      return new InitialPhase(snapshot, new SnapshotRows(events, batch), batch, plan.stream)
    } finally {
      // The snapshot has a connection of its own that keeps it, and the slot stays without this one unless it is temporary.
      await closeClient(exported.keeper, clock)
    }
  }

  get finished(): boolean {
    return this.#finished
  }

  /** Tables that were rewritten under the snapshot, so that it could not see their rows. */
  get rewritten(): readonly TableInfo[] {
    return this.#snapshot.rewritten
  }

  async poll(signal: AbortSignal): Promise<SourceBatch | 'idle'> {
    this.#finished = (await this.#snapshot.read(this.#rows, signal)) === 'finished'
    if (this.#finished && !this.#streams && this.rewritten.length > 0) throw rewrittenTables(this.rewritten)
    const tables = this.#snapshot.checkpoints()
    const parts = this.#batch.take()
    if (tables === undefined) return parts.length === 0 ? 'idle' : { parts, checkpoints: [] }
    return parts.length === 0 && tables.length === 0 ? 'idle' : { parts, checkpoints: tables }
  }

  close(): Promise<void> {
    return this.#snapshot.close()
  }
}

function rewrittenTables(tables: readonly TableInfo[]): KtsError {
  const names = tables.map(({ schema, table }) => `${schema}.${table}`).join(', ')
  const message = `snapshot of ${names}: expected tables that keep their definition and rows, got ones that were rewritten meanwhile (ALTER TABLE, TRUNCATE, VACUUM FULL); with snapshot.mode initial_only all are read again`
  return new KtsError('RETRIABLE', message)
}
