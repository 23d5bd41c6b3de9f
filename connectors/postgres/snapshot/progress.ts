import type { JsonObject, JsonValue, SourceCheckpoint } from '../../../runtime/api/index.ts'
import type { TableInfo } from '../table-info.ts'
import type { Place } from './place.ts'

/**
 * How far a table's snapshot is, and what it still owes. A partitioned table whose changes come under its own name is read
 * leaf by leaf, in the order of their oids.
 */
export interface TableProgress {
  readonly schema: string
  readonly table: string
  /** The table whose rows these are. */
  readonly of: number
  /** Asked for by a signal, besides the snapshot that every table has. */
  readonly adHoc: boolean
  /** The stream waits while it is read. */
  readonly blocking: boolean
  /** Of the snapshot: another one reads the table from the beginning. */
  readonly id: string
  /** Where rows are stored: the table itself or the leaf in hand; those with a smaller oid are read. 0 at the beginning. */
  readonly leaf: number
  /** Of the leaf's file: another one means that rows lie elsewhere now. */
  readonly filenode: number
  /** First place of the leaf that was not read. */
  readonly next: Place
  readonly rows: number
  readonly done: boolean
  /** Rows for which this is true alone (SQL). */
  readonly filter: string | undefined
  /**
   * Keys (by column, bytes as base64) of rows whose change was told without a large value that the snapshot has not told
   * either: they are read again. `lost`: too many to write down, so a restart reads the table again.
   */
  readonly owed: readonly (readonly string[])[] | 'lost'
}

export function newProgress(
  table: TableInfo,
  id: string,
  request: { readonly adHoc: boolean; readonly blocking: boolean; readonly filter: string | undefined } = {
    adHoc: false,
    blocking: false,
    filter: undefined,
  },
): TableProgress {
  const { schema, table: name, oid } = table
  const begin = { leaf: 0, filenode: 0, next: 0, rows: 0, done: false, owed: [] }
  return { schema, table: name, of: oid, id, ...request, ...begin }
}

/** Checkpoints of tables, among all those of a connector, in no order. Those of the stream have no `table`. */
export function readProgress(server: string, checkpoints: readonly SourceCheckpoint[]): TableProgress[] {
  return checkpoints.flatMap(({ partition, position }) => {
    if (position === null || partition.server !== server || typeof partition.table !== 'string') return []
    return [read(partition, position)]
  })
}

/**
 * Checkpoints of tables other than these, to be forgotten: what changed in them while they were not captured was not told,
 * so they are read anew should they come back.
 */
export function staleProgress(
  server: string,
  checkpoints: readonly SourceCheckpoint[],
  captured: readonly TableInfo[],
): SourceCheckpoint[] {
  const oids = new Set(captured.map(table => table.oid))
  return checkpoints.filter(checkpoint => {
    const [progress] = readProgress(server, [checkpoint])
    return progress !== undefined && !oids.has(progress.of)
  })
}

function read(partition: JsonObject, position: JsonObject): TableProgress {
  const { owed, filter } = position
  return {
    schema: String(partition.schema),
    table: String(partition.table),
    of: Number(position.of),
    adHoc: partition.snapshot !== undefined,
    blocking: position.blocking === true,
    id: String(position.id),
    leaf: Number(position.leaf),
    filenode: Number(position.filenode),
    next: Number(position.next),
    rows: Number(position.rows),
    done: position.done === true,
    filter: typeof filter === 'string' ? filter : undefined,
    owed: owed === 'lost' ? 'lost' : Array.isArray(owed) ? owed.map(key => (key as JsonValue[]).map(String)) : [],
  }
}

/** What was asked for besides is forgotten once it is done. */
export function progressCheckpoint(server: string, progress: TableProgress): SourceCheckpoint {
  const { schema, table, adHoc, blocking, filter, owed, done, ...rest } = progress
  const partition = { server, schema, table, ...(adHoc ? { snapshot: 'incremental' } : {}) }
  if (adHoc && done) return { partition, position: null }
  const more = {
    ...(blocking ? { blocking } : {}),
    ...(filter === undefined ? {} : { filter }),
    ...(owed.length === 0 ? {} : { owed }),
  }
  return { partition, position: { ...rest, done, ...more } }
}
