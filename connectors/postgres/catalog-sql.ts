/**
 * The catalogue's questions. Arrays come as JSON or text[], since the client leaves name[] and int2vector as text.
 */

/** What a publication tells of a table, where it leaves out columns or rows. Before 15 there is nothing of that kind. */
const PUBLISHED_PART = `
  (SELECT json_build_object(
      'columns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])),
      -- A schema that is published as a whole has its rows told without the filter.
      'rows', CASE WHEN NOT EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = r.prpubid AND s.pnnspid = c.relnamespace)
        THEN pg_get_expr(r.prqual, r.prrelid) END)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    WHERE p.pubname = $2 AND r.prrelid = c.oid AND (r.prattrs IS NOT NULL OR r.prqual IS NOT NULL))`

/**
 * $1: OIDs of tables, $2: name of a publication. One row per table, in the order of schema and name by bytes, which no collation changes. A default names
 * no column, so it is deparsed without its table: with it, the server takes half a minute for 1,600 columns.
 */
export const tablesSql = (version: number): string => `
SELECT c.oid, n.nspname AS schema, c.relname AS table, c.relkind AS kind, c.relreplident AS replica_identity,
  (SELECT json_agg(json_build_object(
      'name', a.attname, 'typeOid', a.atttypid::int8, 'typeModifier', a.atttypmod, 'dimensions', a.attndims,
      'notNull', a.attnotnull OR (SELECT t.typnotnull FROM pg_type t WHERE t.oid = a.atttypid),
      'default', CASE WHEN a.atthasdef AND a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END,
      'generated', a.attgenerated, 'identity', a.attidentity <> '') ORDER BY a.attnum)
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT json_agg(json_build_object(
      'primary', i.indisprimary, 'identity', i.indisreplident, 'unique', i.unique_key, 'columns', i.columns)
      ORDER BY i.relname COLLATE "C")
    FROM (SELECT x.indisprimary, x.indisreplident, ic.relname,
        (x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL AND bool_and(a.attnotnull)) AS unique_key,
        json_agg(a.attname ORDER BY k.at) AS columns
      FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid
      CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
      LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
      WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indislive AND k.at <= x.indnkeyatts
      GROUP BY x.indexrelid, x.indisprimary, x.indisreplident, ic.relname, x.indimmediate, x.indpred IS NULL, x.indexprs IS NULL
    ) i) AS indexes,
  CASE WHEN $2::text IS NOT NULL THEN ${version >= 150_000 ? PUBLISHED_PART : 'NULL::json'} END AS published
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[])
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`

/**
 * All that can be captured: permanent tables outside of the system schemas. Of a partition tree the root (via_root) or
 * its leaves, which are the tables that changes are told of with and without publish_via_partition_root.
 */
export const CANDIDATES_SQL = `
SELECT c.oid, n.nspname AS schema, c.relname AS table,
  NOT c.relispartition AS via_root,
  c.relkind = 'r' AS via_leaves
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

/** $1: name of a publication. What it tells of: of a partition tree the root or the leaves, as it was made. */
export const PUBLISHED_SQL = `
SELECT c.oid, n.nspname AS schema, c.relname AS table
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE p.pubname = $1`

const TYPE_COLUMNS = `
SELECT t.oid, n.nspname AS schema, t.typname AS name, t.typtype AS kind, t.typdelim AS delimiter,
  COALESCE(e.oid, 0) AS element_oid, t.typbasetype AS base_oid, t.typtypmod AS base_modifier,
  COALESCE(r.rngsubtype, m.rngtypid, 0) AS range_oid,
  CASE WHEN t.typtype = 'e' THEN
    (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid) END AS labels
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type e ON e.typarray = t.oid
LEFT JOIN pg_range r ON t.typtype = 'r' AND r.rngtypid = t.oid
LEFT JOIN pg_range m ON t.typtype = 'm' AND m.rngmultitypid = t.oid`

/** All types but the row types of tables and the arrays of those, of which there are two per table. */
export const ALL_TYPES_SQL = `${TYPE_COLUMNS}
WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.reltype = COALESCE(e.oid, t.oid) AND c.relkind <> 'c')`

/** $1: OIDs of types. */
export const TYPES_SQL = `${TYPE_COLUMNS}
WHERE t.oid = ANY ($1::oid[])`

/** Who the server is and where its log ends. On a standby: what it has replayed, and the timeline of its last checkpoint. */
export const SERVER_SQL = `
SELECT current_setting('server_version_num')::int AS version, current_database() AS database,
  s.system_identifier::text AS system_id, pg_is_in_recovery() AS standby,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
  CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline
FROM pg_control_system() s`
