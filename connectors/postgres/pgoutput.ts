import type { ChangeHandler, LogicalMessage, OldRow } from './changes.ts'
import type { Definitions } from './definitions.ts'
import type { MessageCursor } from './message-cursor.ts'
import type { Relation, RelationColumn } from './relation.ts'
import { BINARY, NULL, TEXT, type Tuple, UNCHANGED } from './tuple.ts'

/** Message types of pgoutput: the first byte of each. */
export const RELATION = 0x52
export const TYPE = 0x59
export const INSERT = 0x49
export const UPDATE = 0x55
export const DELETE = 0x44
export const TRUNCATE = 0x54
export const MESSAGE = 0x4d
export const ORIGIN = 0x4f
export const BEGIN = 0x42
export const COMMIT = 0x43
export const STREAM_START = 0x53
export const STREAM_STOP = 0x45
export const STREAM_COMMIT = 0x63
export const STREAM_ABORT = 0x41
export const BEGIN_PREPARE = 0x62
export const PREPARE = 0x50
export const COMMIT_PREPARED = 0x4b
export const ROLLBACK_PREPARED = 0x72
export const STREAM_PREPARE = 0x70

const KEY_TUPLE = 0x4b
const OLD_TUPLE = 0x4f
const NEW_TUPLE = 0x4e
/** A column of a Relation takes at least so much: flags, an empty name, type and modifier. */
const COLUMN_BYTES_MIN = 10

/** One row, in memory that serves every row. */
class RowTuple implements Tuple {
  bytes: Buffer = Buffer.alloc(0)
  count = 0
  kinds = new Uint8Array(64)
  starts = new Int32Array(64)
  ends = new Int32Array(64)

  read(cursor: MessageCursor, columns: number): this {
    const count = cursor.u16()
    if (count !== columns) throw cursor.wrong(`${columns} columns, as the table was described, found ${count}`)
    cursor.need(count)
    if (count > this.kinds.length) this.#grow(count)
    this.bytes = cursor.bytes
    this.count = count
    const { kinds, starts, ends } = this
    for (let i = 0; i < count; i++) {
      const kind = cursor.u8()
      let length = 0
      if (kind === 0x74) {
        kinds[i] = TEXT
        length = cursor.length()
      } else if (kind === 0x62) {
        kinds[i] = BINARY
        length = cursor.length()
      } else if (kind === 0x6e) kinds[i] = NULL
      else if (kind === 0x75) kinds[i] = UNCHANGED
      else throw cursor.wrong(`a column of kind n, u, t or b, found byte ${kind}`)
      starts[i] = cursor.at
      cursor.at += length
      ends[i] = cursor.at
    }
    return this
  }

  #grow(count: number): void {
    this.kinds = new Uint8Array(count)
    this.starts = new Int32Array(count)
    this.ends = new Int32Array(count)
  }
}

/**
 * Decodes what happens to rows. No object is made per row.
 *
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html, versions 1 to 4.
 */
export class Pgoutput {
  /**
   * The definition that the handler was told last. One is told when a change first uses it, so those of an aborted
   * subtransaction are not.
   */
  readonly #told = new Map<number, Relation>()
  readonly #row = new RowTuple()
  readonly #oldKey: { readonly kind: 'key'; readonly tuple: RowTuple } = { kind: 'key', tuple: new RowTuple() }
  /** The handler became full by what was told in front of a change: that one was not told, and is to come again. */
  again = false
  readonly #oldRow: { readonly kind: 'full'; readonly tuple: RowTuple } = { kind: 'full', tuple: new RowTuple() }

  /**
   * Tells one change; the cursor stands behind the type (and transaction). With a promise the handler waits, and neither it
   * nor the cursor's bytes may be used before that.
   */
  change(type: number, cursor: MessageCursor, definitions: Definitions, changes: ChangeHandler): void | Promise<void> {
    if (type === TRUNCATE) return this.#truncate(cursor, definitions, changes)
    if (type === MESSAGE) return changes.message(readMessage(cursor))
    const relation = known(cursor, definitions)
    if (this.#told.get(relation.oid) === relation) return this.#rowChange(type, relation, cursor, changes)
    const waiting = this.#define(relation, changes)
    const tell = () => {
      this.again = changes.full
      if (!this.again) this.#rowChange(type, relation, cursor, changes)
    }
    return waiting === undefined ? tell() : waiting.then(tell)
  }

  #define(relation: Relation, changes: ChangeHandler): void | Promise<void> {
    this.#told.set(relation.oid, relation)
    return changes.relation(relation)
  }

  #rowChange(type: number, relation: Relation, cursor: MessageCursor, changes: ChangeHandler): void {
    const columns = relation.columns.length
    const mark = cursor.u8()
    if (type === INSERT) {
      if (mark !== NEW_TUPLE) throw cursor.wrong(`a new row (N), found byte ${mark}`)
      const row = this.#row.read(cursor, columns)
      cursor.finish()
      changes.insert(relation, row, cursor.lsn)
    } else if (type === UPDATE) {
      let old: OldRow | undefined
      if (mark !== NEW_TUPLE) {
        old = this.#old(mark, cursor, columns)
        if (cursor.u8() !== NEW_TUPLE) throw cursor.wrong('a new row (N) behind the old one')
      }
      const row = this.#row.read(cursor, columns)
      cursor.finish()
      changes.update(relation, old, row, cursor.lsn)
    } else {
      const old = this.#old(mark, cursor, columns)
      cursor.finish()
      changes.delete(relation, old, cursor.lsn)
    }
  }

  #old(mark: number, cursor: MessageCursor, columns: number): OldRow {
    if (mark !== KEY_TUPLE && mark !== OLD_TUPLE) throw cursor.wrong(`an old row (K or O), found byte ${mark}`)
    const old = mark === KEY_TUPLE ? this.#oldKey : this.#oldRow
    old.tuple.read(cursor, columns)
    return old
  }

  #truncate(cursor: MessageCursor, definitions: Definitions, changes: ChangeHandler): void | Promise<void> {
    const count = cursor.length()
    cursor.need(1 + count * 4)
    const options = cursor.u8()
    const relations: Relation[] = []
    for (let i = 0; i < count; i++) relations.push(known(cursor, definitions))
    cursor.finish()
    const flags = { cascade: (options & 1) !== 0, restartIdentity: (options & 2) !== 0 }
    const untold = relations.filter(relation => this.#told.get(relation.oid) !== relation)
    if (untold.length === 0) return changes.truncate(relations, flags, cursor.lsn)
    return this.#defineAll(untold, changes).then(() => {
      this.again = changes.full
      if (!this.again) changes.truncate(relations, flags, cursor.lsn)
    })
  }

  async #defineAll(relations: readonly Relation[], changes: ChangeHandler): Promise<void> {
    for (const relation of relations) await this.#define(relation, changes)
  }
}

function known(cursor: MessageCursor, definitions: Definitions): Relation {
  const oid = cursor.u32()
  const definition = definitions.get(oid)
  if (definition === undefined) throw cursor.wrong(`a table that was described before, found one with OID ${oid}`)
  return definition.relation
}

/** Message Relation, behind its type (and transaction). */
export function readRelation(cursor: MessageCursor): Relation {
  const oid = cursor.u32()
  // Tables of pg_catalog come without the name of their schema.
  const schema = cursor.text() || 'pg_catalog'
  const table = cursor.text()
  const identity = String.fromCharCode(cursor.u8())
  if (identity !== 'd' && identity !== 'n' && identity !== 'f' && identity !== 'i') {
    throw cursor.wrong(`a replica identity of d, n, f or i, found ${JSON.stringify(identity)}`)
  }
  const count = cursor.u16()
  cursor.need(count * COLUMN_BYTES_MIN)
  const columns: RelationColumn[] = []
  for (let i = 0; i < count; i++) {
    const isKey = (cursor.u8() & 1) !== 0
    columns.push({ isKey, name: cursor.text(), typeOid: cursor.u32(), typeModifier: cursor.i32() })
  }
  cursor.finish()
  return { oid, schema, table, replicaIdentity: identity, columns }
}

/** Message Message, behind its type (and transaction). */
export function readMessage(cursor: MessageCursor): LogicalMessage {
  const transactional = (cursor.u8() & 1) !== 0
  const lsn = cursor.readLsn()
  const prefix = cursor.text()
  const length = cursor.length()
  const content = cursor.bytes.subarray(cursor.at, cursor.at + length)
  cursor.at += length
  cursor.finish()
  return { transactional, lsn, prefix, content }
}

export interface Ending {
  readonly xid: number
  /** Of the commit or prepare record. */
  readonly lsn: number
  /** Behind it. */
  readonly endLsn: number
  /** Microseconds since 1970. */
  readonly time: number
}

/** Begin: where its commit lies, since it is sent once that is known. */
export function readBegin(cursor: MessageCursor): Omit<Ending, 'endLsn'> {
  const lsn = cursor.readLsn()
  const time = cursor.time()
  const xid = cursor.u32()
  cursor.finish()
  return { lsn, time, xid }
}

export function readCommit(cursor: MessageCursor): Omit<Ending, 'xid'> {
  cursor.u8()
  const ending = { lsn: cursor.readLsn(), endLsn: cursor.readLsn(), time: cursor.time() }
  cursor.finish()
  return ending
}

export function readStreamCommit(cursor: MessageCursor): Ending {
  const xid = cursor.u32()
  return { xid, ...readCommit(cursor) }
}

/** Begin Prepare; and Prepare, Stream Prepare and Commit Prepared, which have flags before. */
export function readPrepared(cursor: MessageCursor, hasFlags: boolean): Ending {
  if (hasFlags) cursor.u8()
  const ending = { lsn: cursor.readLsn(), endLsn: cursor.readLsn(), time: cursor.time(), xid: cursor.u32() }
  cursor.text()
  cursor.finish()
  return ending
}

/** Rollback Prepared: `lsn` is the end of the prepare, `endLsn` that of the rollback. */
export function readRollbackPrepared(cursor: MessageCursor): Ending {
  cursor.u8()
  const [lsn, endLsn] = [cursor.readLsn(), cursor.readLsn()]
  cursor.time()
  const ending = { lsn, endLsn, time: cursor.time(), xid: cursor.u32() }
  cursor.text()
  cursor.finish()
  return ending
}

/** Stream Abort: of a subtransaction, or of the whole where both are the same. Version 4 may add where and when. */
export function readStreamAbort(cursor: MessageCursor): { readonly xid: number; readonly subXid: number } {
  const aborted = { xid: cursor.u32(), subXid: cursor.u32() }
  if (cursor.at < cursor.end) {
    cursor.readLsn()
    cursor.time()
  }
  cursor.finish()
  return aborted
}

export function readOrigin(cursor: MessageCursor): { readonly name: string; readonly lsn: number } {
  const lsn = cursor.readLsn()
  const name = cursor.text()
  cursor.finish()
  return { name, lsn }
}
