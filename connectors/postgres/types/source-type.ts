import type { ColumnInfo, TypeInfo, Types } from '../table-info.ts'

/** A column's type as Debezium tells it (`column.propagate.source.type`): lengths and scales are those of JDBC. */
export interface SourceType {
  /** As pg_type.typname, of a domain its own. */
  readonly name: string
  /** UNLIMITED where there is none; undefined where JDBC knows none. */
  readonly length: number | undefined
  readonly scale: number
  /** Values are characters: text and its like, enums, and domains over those. */
  readonly isCharacter: boolean
}

export const UNLIMITED = 2_147_483_647

const BIT = 1560
const VARBIT = 1562
const NUMERIC = 1700
const INTERVAL = 1186
const VARYING: ReadonlySet<number> = new Set([1042, 1043])
const CHARACTERS: ReadonlySet<number> = new Set([18, 19, 25, 1042, 1043])

/** Of the server's types by OID, where it is the same for all columns: bool, "char", numbers, date. */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [16, 1],
  [18, 1],
  [20, 19],
  [21, 5],
  [23, 10],
  [26, 10],
  [700, 8],
  [701, 17],
  [1082, 13],
  [INTERVAL, 49],
])
const SCALES: ReadonlyMap<number, number> = new Map([
  [700, 8],
  [701, 17],
])
/** Characters of time, timestamp, timestamptz and timetz without what is behind the second. */
const TIMES: ReadonlyMap<number, number> = new Map([
  [1083, 8],
  [1114, 22],
  [1184, 28],
  [1266, 14],
])
/** What JDBC says of numeric without precision. */
const NUMERIC_LENGTH = 131_089
const FRACTION_DIGITS = 6

export function sourceType(column: Pick<ColumnInfo, 'typeOid' | 'typeModifier'>, types: Types): SourceType {
  const type = types.get(column.typeOid)
  let oid = type?.elementOid || column.typeOid
  let modifier = column.typeModifier
  let root = type
  while (root?.kind === 'd') {
    modifier = modifier === -1 ? root.baseModifier : modifier
    oid = root.baseOid
    root = types.get(oid)
  }
  return {
    name: type?.name ?? '',
    length: lengthOf(oid, modifier),
    scale: scaleOf(oid, modifier),
    isCharacter: CHARACTERS.has(oid) ? !isArray(root) : root?.kind === 'e',
  }
}

function isArray(type: TypeInfo | undefined): boolean {
  return (type?.elementOid ?? 0) !== 0
}

function lengthOf(oid: number, modifier: number): number | undefined {
  const time = TIMES.get(oid)
  // JDBC counts two digits for one.
  if (time !== undefined) return time + (modifier === 0 ? 0 : digitsOf(modifier) === 1 ? 3 : digitsOf(modifier) + 1)
  if (oid === NUMERIC) return modifier === -1 ? NUMERIC_LENGTH : (modifier - 4) >> 16
  if (VARYING.has(oid)) return modifier === -1 ? UNLIMITED : modifier - 4
  if (oid === BIT) return modifier === -1 ? undefined : modifier
  if (oid === VARBIT) return modifier === -1 ? UNLIMITED : modifier
  return LENGTHS.get(oid) ?? UNLIMITED
}

function scaleOf(oid: number, modifier: number): number {
  if (TIMES.has(oid)) return digitsOf(modifier)
  if (oid === INTERVAL) return modifier === -1 ? FRACTION_DIGITS : modifier & 0xffff
  if (oid === NUMERIC) return modifier === -1 ? 0 : (modifier - 4) & 0xffff
  return SCALES.get(oid) ?? 0
}

function digitsOf(modifier: number): number {
  return modifier === -1 ? FRACTION_DIGITS : modifier
}
