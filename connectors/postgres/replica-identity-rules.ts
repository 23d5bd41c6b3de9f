import type pg from 'pg'
import type { Logger } from '../../runtime/api/index.ts'
import { capturedTables } from './catalog.ts'
import { serverError } from './server-error.ts'
import { quoted } from './slot.ts'
import type { SlotOptions } from './slot-options.ts'
import type { TableFilter } from './table-filter.ts'

interface Rule {
  readonly tables: RegExp
  /** As in ALTER TABLE. */
  readonly identity: string
  /** As pg_class.relreplident. */
  readonly letter: string
  readonly index: string | undefined
}

/** A captured table, or a partition of one, which has an identity of its own. */
interface Member {
  readonly schema: string
  readonly table: string
  /** The captured one. */
  readonly of: string
  readonly letter: string
  readonly owned: boolean
  /** Of its identity, where that is one. */
  readonly index: string | null
}

const LETTERS: Readonly<Record<string, string>> = { DEFAULT: 'd', FULL: 'f', NOTHING: 'n', INDEX: 'i' }

/** Undefined: something in it cannot be read. */
function rulesOf(entries: readonly string[]): readonly Rule[] | undefined {
  const rules = entries.map(ruleOf)
  return rules.every(rule => rule !== undefined) ? rules : undefined
}

/** `schema.table:FULL`, or `:INDEX name`. */
function ruleOf(entry: string): Rule | undefined {
  const [, pattern, word, index] = /^\s*(.+):\s*(DEFAULT|FULL|NOTHING|INDEX)(?:\s+(\S.*?))?\s*$/i.exec(entry) ?? []
  if (pattern === undefined || word === undefined) return undefined
  const name = word.toUpperCase()
  if ((name === 'INDEX') !== (index !== undefined)) return undefined
  try {
    const identity = index === undefined ? name : `USING INDEX ${quoted(index)}`
    return { tables: new RegExp(`^(?:${pattern.trim()})$`, 'i'), identity, letter: LETTERS[name]!, index }
  } catch {
    return undefined
  }
}

/** Completes "expected …" where an entry cannot be read. */
export function identityRulesProblem(entries: readonly string[]): string | undefined {
  return rulesOf(entries) === undefined
    ? 'entries `<regular expression for schema.table>:<DEFAULT, FULL, NOTHING or INDEX name>`'
    : undefined
}

/** A table that is to have another identity. */
export interface PendingIdentity {
  readonly schema: string
  readonly table: string
  readonly sql: string
  /** Old rows are known by it, so updates and deletes pass. */
  readonly identifies: boolean
  /** Our role may do it. */
  readonly owned: boolean
}

/** Captured tables, and partitions of them, that have another identity than the options ask for. */
export async function pendingIdentities(
  client: pg.Client,
  options: SlotOptions,
  filter: TableFilter,
): Promise<readonly PendingIdentity[]> {
  const rules = rulesOf(options['replica.identity.autoset.values']) ?? []
  if (rules.length === 0) return []
  const tables = await capturedTables(client, filter, { viaRoot: options['publish.via.partition.root'] })
  const { rows } = await client.query<Member>(
    `SELECT n.nspname AS schema, c.relname AS table, c.relreplident::text AS letter, rn.nspname || '.' || r.relname AS of,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       (SELECT ic.relname::text FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisreplident) AS index
     FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace,
       LATERAL (SELECT r.oid UNION SELECT relid FROM pg_partition_tree(r.oid::regclass)) m (oid)
       JOIN pg_class c ON c.oid = m.oid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.oid = ANY ($1::oid[]) ORDER BY 4, 1, 2`,
    [tables.map(table => table.oid)],
  )
  return rows.flatMap(({ schema, table, of, letter, index, owned }) => {
    const rule = rules.find(({ tables: named }) => named.test(of))
    if (rule === undefined || (letter === rule.letter && (rule.index === undefined || index === rule.index))) return []
    const sql = `ALTER TABLE ONLY ${quoted(schema)}.${quoted(table)} REPLICA IDENTITY ${rule.identity}`
    return [{ schema, table, sql, identifies: 'fi'.includes(rule.letter), owned }]
  })
}

/**
 * Gives captured tables the replica identity that the options ask for (`replica.identity.autoset.values`), where they have
 * another. To be called before tables are published. Rejects when our role does not own one of them.
 */
export async function setReplicaIdentities(
  client: pg.Client,
  options: SlotOptions,
  filter: TableFilter,
  log: Logger,
): Promise<void> {
  for (const { schema, table, sql } of await pendingIdentities(client, options, filter)) {
    try {
      await client.query(sql)
    } catch (error) {
      throw serverError(error, `replica.identity.autoset.values: ${sql}`)
    }
    log.info({ table: `${schema}.${table}`, sql }, 'the table has another replica identity now')
  }
}
