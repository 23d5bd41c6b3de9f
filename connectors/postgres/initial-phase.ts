import { KtsError, type SourceBatch, type SourceCheckpoint, type TaskContext } from '../../runtime/api/index.ts'
import { closeClient } from './connection.ts'
import { type EventBatch, EventColumns, type Events } from './events/index.ts'
import type { PostgresOptions } from './options.ts'
import { positionToJson, streamPartition } from './position.ts'
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
  /**
   * Where the stream begins is written down before the first row: from then on a kill or a cut resumes beside the stream, and
   * does not begin again, which would never end where connections do not live as long as a part takes.
   */
  #begins: readonly SourceCheckpoint[]
  /** A stream follows, beside which what is left can be read. */
  readonly #streams: boolean
  #finished = false

  private constructor(snapshot: InitialSnapshot, rows: SnapshotRows, batch: EventBatch, begins: SourceCheckpoint[]) {
    this.#streams = begins.length > 0
    this.#snapshot = snapshot
    this.#rows = rows
    this.#batch = batch
    this.#begins = begins
  }

  static async open(
    session: Session,
    exported: ExportedSnapshot,
    options: PostgresOptions,
    { events, batch, binary }: { readonly events: Events; readonly batch: EventBatch; readonly binary: boolean },
    context: TaskContext,
  ): Promise<InitialPhase> {
    const { connections, plan, position, generatedColumns } = session
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
      const begins = plan.stream ? [{ partition: streamPartition(server), position: positionToJson(position) }] : []
      return new InitialPhase(snapshot, new SnapshotRows(events, batch), batch, begins)
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
    if (this.#begins.length > 0) {
      const checkpoints = this.#begins
      this.#begins = []
      return { parts: [], checkpoints }
    }
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
