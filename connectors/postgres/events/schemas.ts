import type { Field, Schema } from '../../../runtime/api/index.ts'

// Names, versions and order of fields are those of Debezium 3.6.

export const STRING: Schema = { type: 'STRING', optional: false }
export const OPTIONAL_STRING: Schema = { type: 'STRING', optional: true }
export const INT64: Schema = { type: 'INT64', optional: false }
export const OPTIONAL_INT64: Schema = { type: 'INT64', optional: true }

export function struct(name: string, fields: Readonly<Record<string, Schema>>, version?: number): Schema {
  return { type: 'STRUCT', optional: false, name, ...versioned(version), fields: fieldsOf(fields) }
}

export function optionalStruct(name: string, fields: Readonly<Record<string, Schema>>, version?: number): Schema {
  return { ...struct(name, fields, version), optional: true }
}

function versioned(version: number | undefined): { version?: number } {
  return version === undefined ? {} : { version }
}

function fieldsOf(fields: Readonly<Record<string, Schema>>): Field[] {
  return Object.entries(fields).map(([name, schema]) => ({ name, schema }))
}

export const SOURCE: Schema = struct(
  'io.debezium.connector.postgresql.Source',
  {
    version: STRING,
    connector: STRING,
    name: STRING,
    ts_ms: INT64,
    snapshot: {
      type: 'STRING',
      optional: true,
      name: 'io.debezium.data.Enum',
      version: 1,
      parameters: {
        allowed: 'true,first,first_in_data_collection,last_in_data_collection,last,false,incremental',
      },
      default: 'false',
    },
    db: STRING,
    sequence: OPTIONAL_STRING,
    ts_us: OPTIONAL_INT64,
    ts_ns: OPTIONAL_INT64,
    schema: STRING,
    table: STRING,
    txId: OPTIONAL_INT64,
    lsn: OPTIONAL_INT64,
    xmin: OPTIONAL_INT64,
    origin: OPTIONAL_STRING,
    origin_lsn: OPTIONAL_INT64,
  },
  1,
)

/** A change's place in its transaction. */
export const TRANSACTION_BLOCK: Schema = optionalStruct(
  'event.block',
  { id: STRING, total_order: INT64, data_collection_order: INT64 },
  1,
)

export const TRANSACTION_KEY: Schema = struct('io.debezium.connector.common.TransactionMetadataKey', { id: STRING }, 1)

export const TRANSACTION_VALUE: Schema = struct(
  'io.debezium.connector.common.TransactionMetadataValue',
  {
    status: STRING,
    id: STRING,
    event_count: OPTIONAL_INT64,
    data_collections: {
      type: 'ARRAY',
      optional: true,
      valueSchema: optionalStruct('event.collection', { data_collection: STRING, event_count: INT64 }, 1),
    },
    ts_ms: INT64,
  },
  1,
)

export const HEARTBEAT_KEY: Schema = struct('io.debezium.connector.common.ServerNameKey', { serverName: STRING }, 1)
export const HEARTBEAT_VALUE: Schema = struct('io.debezium.connector.common.Heartbeat', { ts_ms: INT64 }, 1)

export const MESSAGE_KEY: Schema = struct('io.debezium.connector.postgresql.MessageKey', { prefix: OPTIONAL_STRING }, 1)

/** `content` is that of a bytea column, which `binary.handling.mode` decides. */
export function messageValueSchema(content: Schema): Schema {
  return struct(
    'io.debezium.connector.postgresql.MessageValue',
    {
      op: STRING,
      ts_ms: OPTIONAL_INT64,
      source: SOURCE,
      transaction: TRANSACTION_BLOCK,
      message: struct('io.debezium.connector.postgresql.Message', { prefix: OPTIONAL_STRING, content }, 1),
    },
    1,
  )
}

/** Of a table's events; `row` is optional. */
export function envelopeSchema(name: string, row: Schema): Schema {
  return struct(
    name,
    {
      before: row,
      after: row,
      source: SOURCE,
      transaction: TRANSACTION_BLOCK,
      op: STRING,
      ts_ms: OPTIONAL_INT64,
      ts_us: OPTIONAL_INT64,
      ts_ns: OPTIONAL_INT64,
    },
    2,
  )
}
