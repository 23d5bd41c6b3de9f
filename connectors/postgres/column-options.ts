import { defineOptions, type OptionProblem, type OptionValues } from '../../runtime/api/index.ts'

const GROUP = 'masks and source types'
const COLUMNS = 'Regular expressions for `schema.table.column`, each for the whole name, in any case'

export type ColumnOptions = OptionValues<typeof COLUMN_OPTIONS>

/** What is done to single columns of rows; names are Debezium's. Keys stay as they are. */
export const COLUMN_OPTIONS = defineOptions({
  'column.mask.with.<length>.chars': {
    type: 'family',
    pattern: 'column\\.mask\\.with\\.\\d+\\.chars',
    member: { type: 'list', doc: '', validate: patternsProblem },
    default: {},
    group: GROUP,
    doc: `${COLUMNS}: text in them is replaced by so many asterisks, NULL too. Keys stay as they are.`,
  },
  'column.mask.hash.v2.<algorithm>.with.salt.<salt>': {
    type: 'family',
    pattern: 'column\\.mask\\.hash\\.v2\\.[^.]+\\.with\\.salt\\..+',
    member: { type: 'list', doc: '', validate: patternsProblem },
    default: {},
    group: GROUP,
    doc: `${COLUMNS}: text in them is replaced by the hash of salt and value in hexadecimal, cut to the length of the column; SHA-256 for instance. NULL stays NULL, and keys stay as they are. The salt is never printed.`,
  },
  'column.mask.hash.<algorithm>.with.salt.<salt>': {
    type: 'family',
    pattern: 'column\\.mask\\.hash\\.[^.]+\\.with\\.salt\\..+',
    member: { type: 'list', doc: '', validate: patternsProblem },
    default: {},
    importance: 'low',
    group: GROUP,
    doc: "As with `v2`, of the value as Java serialises it: Debezium's older form.",
  },
  'column.truncate.to.<length>.chars': {
    type: 'family',
    pattern: 'column\\.truncate\\.to\\.\\d+\\.chars',
    member: { type: 'list', doc: '', validate: patternsProblem },
    default: {},
    group: GROUP,
    doc: `${COLUMNS}: text in them is cut to so many characters, bytes to so many bytes.`,
  },
  'column.propagate.source.type': {
    type: 'list',
    default: [],
    importance: 'low',
    group: GROUP,
    doc: `${COLUMNS}: their schemas tell type, length, scale and name of the column as parameters (\`__debezium.source.column.*\`). For converters that write schemas.`,
    validate: patternsProblem,
  },
  'datatype.propagate.source.type': {
    type: 'list',
    default: [],
    importance: 'low',
    group: GROUP,
    doc: 'The same for columns of some types, as regular expressions for `schema.table.type`, the type as in pg_type.',
    examples: [['.+[.]numeric', '.+[.]varchar']],
    validate: patternsProblem,
  },
})

/** Java's names of what both sides can compute, as Node.js calls them. */
const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ['MD5', 'md5'],
  ['SHA', 'sha1'],
  ['SHA-1', 'sha1'],
  ['SHA-224', 'sha224'],
  ['SHA-256', 'sha256'],
  ['SHA-384', 'sha384'],
  ['SHA-512', 'sha512'],
  ['SHA-512/224', 'sha512-224'],
  ['SHA-512/256', 'sha512-256'],
  ['SHA3-224', 'sha3-224'],
  ['SHA3-256', 'sha3-256'],
  ['SHA3-384', 'sha3-384'],
  ['SHA3-512', 'sha3-512'],
])

export interface HashOfName {
  /** As Node.js calls it; undefined for one that is not known. */
  readonly algorithm: string | undefined
  readonly salt: string
}

/** What the name of an option of hashing says. */
export function hashOfName(name: string): HashOfName {
  const [, algorithm = '', salt = ''] = /^column\.mask\.hash\.(?:v2\.)?([^.]+)\.with\.salt\.(.+)$/s.exec(name) ?? []
  return { algorithm: ALGORITHMS.get(algorithm.toUpperCase()), salt }
}

const HASHES = [
  'column.mask.hash.v2.<algorithm>.with.salt.<salt>',
  'column.mask.hash.<algorithm>.with.salt.<salt>',
] as const

/** Names of options that say what cannot be done. */
export function columnProblems(options: ColumnOptions): OptionProblem[] {
  return HASHES.filter(option =>
    Object.keys(options[option]).some(name => hashOfName(name).algorithm === undefined),
  ).map(option => ({
    option,
    message: `expected an algorithm of ${[...ALGORITHMS.keys()].join(', ')}, got another`,
  }))
}

export function patternsProblem(patterns: readonly string[]): string | undefined {
  return patterns.every(isPattern) ? undefined : 'regular expressions'
}

export function isPattern(text: string): boolean {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}
