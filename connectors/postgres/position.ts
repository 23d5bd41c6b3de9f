import { type JsonObject, KtsError, type SourceCheckpoint } from '../../runtime/api/index.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'

/** Where a connector stands in the stream of changes. Durable as a checkpoint, together with the events in front of it. */
export interface StreamPosition {
  /** Of the last transaction that was begun, by its commit. */
  readonly commitLsn: Lsn
  /** How many of its changes are behind, as `ChangeHandler` counts them; undefined when all are. */
  readonly changes: number | undefined
  /** Behind the last whole transaction: the slot is never confirmed further than this, so a slot that is ahead of it lost something. */
  readonly end: Lsn
  /** End of the last transaction that was told whole, as events name it; 0 before the first. */
  readonly lastCommit: Lsn
  /** Of the last message that was in no transaction; those up to it are behind. */
  readonly messageLsn: Lsn
  /** Microseconds since 1970, of the last commit. */
  readonly commitTime: number
  /** Of the server, which keeps it for life (pg_control_system). */
  readonly systemId: string
  readonly timeline: number
  /**
   * Captured tables that were made by this transaction (64 bits, in decimal) or a later one were seen by no snapshot, but all
   * of their rows come in the stream.
   */
  readonly since: string
  /** Which tables were captured then (`TableFilter`'s lists): under others that says nothing. */
  readonly lists: string
  /** OID of the publication, which another one of the same name does not have; undefined in a position that is older. */
  readonly publication: number | undefined
  /** False: a column came by that is known in its text form only, and may come by again. */
  readonly binary: boolean
}

const VERSION = 1

/** The source partition of a stream, as Debezium names it. */
export function streamPartition(server: string): JsonObject {
  return { server }
}

/** Is it the checkpoint of the stream itself, and not that of one of its tables? */
export function isStreamPartition(partition: JsonObject): boolean {
  return Object.keys(partition).length === 1 && partition.server !== undefined
}

export function positionToJson(position: StreamPosition): JsonObject {
  return {
    v: VERSION,
    lsn_commit: formatLsn(position.commitLsn),
    changes: position.changes ?? null,
    lsn: formatLsn(position.end),
    lsn_last: formatLsn(position.lastCommit),
    message: formatLsn(position.messageLsn),
    ts_usec: position.commitTime,
    system: position.systemId,
    timeline: position.timeline,
    since: position.since,
    lists: position.lists,
    publication: position.publication ?? null,
    binary: position.binary,
  }
}

/** Undefined when the connector has never streamed. Throws POSITION_LOST for one that is not ours. */
export function positionOf(checkpoints: readonly SourceCheckpoint[], server: string): StreamPosition | undefined {
  const found = checkpoints.find(c => isStreamPartition(c.partition) && c.partition.server === server)
  if (found === undefined || found.position === null) return undefined
  try {
    return positionFromJson(found.position)
  } catch (cause) {
    const message = `the position of ${server} in the write-ahead log cannot be read (${JSON.stringify(found.position)}): it was written by another version. Run this pipeline with that version, or give the connector another name, so that it begins with a new snapshot`
    throw new KtsError('POSITION_LOST', message, { cause })
  }
}

function positionFromJson(json: JsonObject): StreamPosition {
  if (json.v !== VERSION) throw new RangeError(`expected version ${VERSION}`)
  const { changes, ts_usec: commitTime, system: systemId, timeline, lsn_last: lastCommit = '0/0' } = json
  if (changes !== null && !Number.isSafeInteger(changes)) throw new RangeError('changes')
  if (typeof commitTime !== 'number' || typeof systemId !== 'string' || typeof timeline !== 'number')
    throw new RangeError('ts_usec, system or timeline')
  return {
    commitLsn: parseLsn(String(json.lsn_commit)),
    changes: changes === null ? undefined : Number(changes),
    end: parseLsn(String(json.lsn)),
    lastCommit: parseLsn(String(lastCommit)),
    messageLsn: parseLsn(String(json.message)),
    commitTime,
    systemId,
    timeline,
    since: String(json.since),
    lists: String(json.lists),
    publication: typeof json.publication === 'number' ? json.publication : undefined,
    binary: json.binary !== false,
  }
}
