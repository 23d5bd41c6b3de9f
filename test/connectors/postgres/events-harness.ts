import { decodeHeaders, ManualClock, PackedWriter, silentLogger } from '../../../base/index.ts'
import type { OldRow } from '../../../connectors/postgres/changes.ts'
import type { ColumnCodec } from '../../../connectors/postgres/column-codec.ts'
import { EVENT_OPTIONS, type EventOptions } from '../../../connectors/postgres/event-options.ts'
import { type ChangeSource, EventBatch, Events, type EventsParts } from '../../../connectors/postgres/events/index.ts'
import type { Relation } from '../../../connectors/postgres/relation.ts'
import type { ColumnInfo, TableInfo } from '../../../connectors/postgres/table-info.ts'
import { NULL, TEXT, type Tuple, UNCHANGED } from '../../../connectors/postgres/tuple.ts'
import type { Converter, ConnectRecord, Schema, SourcePart } from '../../../runtime/api/index.ts'
import { converterNamed } from '../../../runtime/converters/index.ts'
import { packHeaders } from '../../../runtime/source-pipeline.ts'

export const INT = 23
export const TEXT_TYPE = 25
const BYTEA = 17

/** An event as it comes to lie in the log. */
export interface Sent {
  readonly topic: string
  readonly orderKey: string | undefined
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly key: string | null
  readonly value: string | null
}

export function eventOptions(changed: Partial<EventOptions> = {}): EventOptions {
  const defaults = Object.entries(EVENT_OPTIONS).map(([name, spec]) => [
    name,
    'default' in spec ? (spec.default ?? undefined) : undefined,
  ])
  return { ...Object.fromEntries(defaults), 'topic.prefix': 'p', ...changed } as EventOptions
}

/** Events over simple codecs: integers and text, in text form. `packs`: as JSON text, else as records. */
export function newEvents(
  packs: boolean,
  changed: Partial<EventOptions> = {},
  more: Partial<EventsParts> = {},
): Events {
  return new Events({
    options: eventOptions(changed),
    database: 'db',
    task: 0,
    runId: 'run',
    version: '1.2.3',
    packsJson: () => packs,
    clock: new ManualClock(),
    log: silentLogger,
    codecOf: simpleCodec,
    types: () => new Map(),
    lastCommit: undefined,
    ...more,
  })
}

export function simpleCodec({ typeOid, notNull }: ColumnInfo): ColumnCodec | undefined {
  if (typeOid === INT) {
    return {
      schema: { type: 'INT32', optional: !notNull },
      valueOfText: (bytes, start, end) => Number(bytes.toString('latin1', start, end)),
      writeText: (bytes, start, end, into) => into.raw(bytes, start, end),
      unavailable: -1,
      absent: notNull ? 0 : null,
    }
  }
  if (typeOid === TEXT_TYPE) {
    const text = (bytes: Buffer, start: number, end: number) => bytes.toString('utf8', start, end)
    return {
      schema: { type: 'STRING', optional: !notNull },
      valueOfText: text,
      writeText: (bytes, start, end, into) => into.string(bytes, start, end),
      valueOfBinary: text,
      writeBinary: (bytes, start, end, into) => into.string(bytes, start, end),
      unavailable: '__debezium_unavailable_value',
      absent: notNull ? '' : null,
    }
  }
  if (typeOid !== BYTEA) return undefined
  return {
    schema: { type: 'BYTES', optional: !notNull },
    valueOfText: (bytes, start, end) => Buffer.from(bytes.toString('latin1', start + 2, end), 'hex'),
    writeText: (bytes, start, end, into) =>
      into.text(JSON.stringify(Buffer.from(bytes.toString('latin1', start + 2, end), 'hex').toString('base64'))),
    valueOfBinary: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)),
    unavailable: Buffer.from('__debezium_unavailable_value'),
    absent: null,
  }
}

/** Text forms; null is NULL, undefined a value that did not change and was not sent. */
export function tuple(...values: readonly (string | null | undefined)[]): Tuple {
  const parts = values.map(value => Buffer.from(value ?? ''))
  const ends = new Int32Array(values.length)
  const starts = new Int32Array(values.length)
  // Something in front, so that a start of 0 is never taken for granted.
  let at = 3
  for (const [i, part] of parts.entries()) {
    starts[i] = at
    at += part.length
    ends[i] = at
  }
  const kinds = Uint8Array.from(values, value => (value === null ? NULL : value === undefined ? UNCHANGED : TEXT))
  return { bytes: Buffer.concat([Buffer.from('###'), ...parts]), count: values.length, kinds, starts, ends }
}

export const keyOnly = (...values: readonly (string | null)[]): OldRow => ({ kind: 'key', tuple: tuple(...values) })
export const whole = (...values: readonly (string | null)[]): OldRow => ({ kind: 'full', tuple: tuple(...values) })

/** `id*:int` is an integer that is part of the replica identity. */
export function relation(name: string, columns: readonly string[], more: Partial<Relation> = {}): Relation {
  return {
    oid: 1000,
    schema: 'public',
    table: name,
    replicaIdentity: 'd',
    columns: columns.map(column => {
      const [label, type] = column.split(':') as [string, string | undefined]
      const oid = type === 'int' ? INT : type === undefined ? TEXT_TYPE : Number(type)
      return { name: label.replace('*', ''), typeOid: oid, typeModifier: -1, isKey: label.endsWith('*') }
    }),
    ...more,
  }
}

/** The catalogue's view of the same; `notNull` names columns. */
export function tableInfo(of: Relation, notNull: readonly string[], more: Partial<TableInfo> = {}): TableInfo {
  return {
    oid: of.oid,
    schema: of.schema,
    table: of.table,
    kind: 'r',
    replicaIdentity: of.replicaIdentity,
    primaryKey: undefined,
    identityIndex: undefined,
    uniqueIndex: undefined,
    columns: of.columns.map(({ name, typeOid }) => ({
      name,
      typeOid,
      typeModifier: -1,
      notNull: notNull.includes(name),
      default: undefined,
      generated: undefined,
      identity: false,
    })),
    ...more,
  }
}

export function streamed(changed: Partial<ChangeSource> = {}): ChangeSource {
  return {
    snapshot: 'false',
    lsn: 5000,
    lastCommitLsn: 4000,
    xid: 77,
    commitTime: 1_700_000_000_123_456,
    origin: undefined,
    ...changed,
  }
}

const plainJson = converterNamed('json')

/** What a batch holds, as the log gets it, part by part. */
export function sentBy(batch: EventBatch): Sent[] {
  return batch.take().flatMap(part => sentOf(part))
}

function sentOf(part: SourcePart): Sent[] {
  if (part.kind === 'records') return part.records.map(record => sentRecord(record, part.orderKey))
  const { packed, topic, orderKey } = part
  return Array.from({ length: packed.count }, (_, i) => {
    const block = packed.headerBlock(i)
    const headers = block === undefined ? [] : decodeHeaders(block)
    return {
      topic,
      orderKey,
      headers: headers.map(({ key, value }) => [key, Buffer.from(value!).toString()] as const),
      key: packed.key(i)?.toString() ?? null,
      value: packed.value(i)?.toString() ?? null,
    }
  })
}

function sentRecord(record: ConnectRecord, orderKey: string | undefined): Sent {
  const headers = packHeaders(record.headers) ?? []
  return {
    topic: record.topic,
    orderKey,
    headers: headers.map(({ key, value }) => [key, Buffer.from(value!).toString()] as const),
    key: encoded(record.key, record.keySchema, plainJson),
    value: encoded(record.value, record.valueSchema, plainJson),
  }
}

export function encoded(value: unknown, schema: Schema | undefined, converter: Converter): string | null {
  const writer = new PackedWriter()
  writer.endRecord(converter.encode(value, schema, writer), undefined, 0)
  return writer.build().value(0)?.toString() ?? null
}

/** Both forms of what `make` does, which must say the same; answers it, parsed. */
export function bothForms(
  make: (events: Events, into: EventBatch) => void,
  changed: Partial<EventOptions> = {},
  more: Partial<EventsParts> = {},
): Said[] {
  const [packed, records] = [true, false].map(packs => {
    const batch = new EventBatch()
    make(newEvents(packs, changed, more), batch)
    return sentBy(batch)
  })
  if (JSON.stringify(packed) !== JSON.stringify(records)) {
    throw new Error(`packed\n${JSON.stringify(packed, null, 1)}\nrecords\n${JSON.stringify(records, null, 1)}`)
  }
  return packed!.map(said)
}

type Struct = Readonly<Record<string, unknown>>

/** Of any kind of event; members that a kind does not have are undefined. */
interface SaidValue {
  readonly op: string
  readonly before: Struct | null
  readonly after: Struct | null
  readonly source: Struct
  readonly transaction: Struct | null
  readonly message: Struct
  readonly ts_ms: number
}

interface Said {
  readonly topic: string
  readonly headers: Readonly<Record<string, string>>
  readonly key: unknown
  readonly value: SaidValue | null
}

function said({ topic, headers, key, value }: Sent): Said {
  const own = headers.filter(([name]) => !name.startsWith('__debezium.context.'))
  return {
    topic,
    headers: Object.fromEntries(own),
    key: key === null ? null : JSON.parse(key),
    value: value === null ? null : JSON.parse(value),
  }
}
