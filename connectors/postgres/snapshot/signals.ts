import { type JsonObject, type JsonValue, KtsError, type TaskSignal } from '../../../runtime/api/index.ts'
import type { TableInfo } from '../table-info.ts'

/** What a signal asks for, checked. Bodies are Debezium's. */
export type SnapshotSignal =
  | { readonly kind: 'execute'; readonly blocking: boolean; readonly tables: readonly RequestedTable[] }
  | { readonly kind: 'stop'; readonly tables: readonly TableInfo[] | 'all' }
  | { readonly kind: 'pause' | 'resume' }
  | { readonly kind: 'log'; readonly text: string }

export interface RequestedTable {
  readonly info: TableInfo
  /** SQL; several conditions of one table are joined by AND. */
  readonly filter: string | undefined
}

/** Throws CONFIG_INVALID for one that is not known or cannot be followed. */
export function snapshotSignal(signal: TaskSignal, captured: readonly TableInfo[]): SnapshotSignal {
  switch (signal.type) {
    case 'execute-snapshot':
      return execute(signal.data, captured)
    case 'stop-snapshot': {
      const names = texts(signal.data, 'data-collections')
      return { kind: 'stop', tables: names.length === 0 ? 'all' : names.flatMap(name => named(name, captured)) }
    }
    case 'pause-snapshot':
      return { kind: 'pause' }
    case 'resume-snapshot':
      return { kind: 'resume' }
    case 'log':
      return { kind: 'log', text: String(signal.data.message ?? '') }
    default:
      throw invalid(
        `expected execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot or log, got ${signal.type}`,
      )
  }
}

function execute(data: JsonObject, captured: readonly TableInfo[]): SnapshotSignal {
  const type = String(data.type ?? 'incremental').toLowerCase()
  if (type !== 'incremental' && type !== 'blocking')
    throw invalid(`type: expected incremental or blocking, got ${type}`)
  const names = texts(data, 'data-collections')
  if (names.length === 0) throw invalid('data-collections: expected tables, such as ["public.orders"]')
  const infos = new Set(names.flatMap(name => named(name, captured)))
  const filters = new Map<TableInfo, string[]>()
  for (const { table, filter } of conditions(data)) {
    const [info] = named(table, captured)
    filters.set(info!, [...(filters.get(info!) ?? []), filter])
  }
  const tables = [...infos].map(info => ({
    info,
    filter: filters
      .get(info)
      ?.map(filter => `(${filter}\n)`)
      .join(' AND '),
  }))
  return { kind: 'execute', blocking: type === 'blocking', tables }
}

function conditions(data: JsonObject): { table: string; filter: string }[] {
  const list = data['additional-conditions'] ?? []
  if (!Array.isArray(list)) throw invalid('additional-conditions: expected a list')
  return (list as readonly JsonValue[]).map(item => {
    const { 'data-collection': table, filter } = (item ?? {}) as JsonObject
    if (typeof table === 'string' && typeof filter === 'string' && filter.trim() !== '') return { table, filter }
    throw invalid('additional-conditions: expected {"data-collection": "schema.table", "filter": "SQL condition"}')
  })
}

function texts(data: JsonObject, name: string): string[] {
  const value = data[name] ?? []
  const list = typeof value === 'string' ? value.split(',') : value
  if (!Array.isArray(list)) throw invalid(`${name}: expected a list`)
  return (list as readonly JsonValue[]).map(item => String(item).trim())
}

/** By its name, or all whose names a regular expression matches. */
function named(name: string, captured: readonly TableInfo[]): TableInfo[] {
  const plain = name.replaceAll('"', '')
  const exact = captured.filter(({ schema, table }) => `${schema}.${table}` === plain)
  if (exact.length > 0) return exact
  const found = captured.filter(({ schema, table }) => matcher(name).test(`${schema}.${table}`))
  if (found.length > 0) return found
  throw invalid(`data-collections: expected captured tables, such as public.orders; none is called ${name}`)
}

function matcher(pattern: string): RegExp {
  try {
    return new RegExp(`^(?:${pattern})$`, 'i')
  } catch {
    throw invalid(`data-collections: expected a table or a regular expression, got ${pattern}`)
  }
}

function invalid(message: string): KtsError {
  return new KtsError('CONFIG_INVALID', `signal: ${message}`)
}
