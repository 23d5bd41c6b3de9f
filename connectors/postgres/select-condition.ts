/** A SELECT of one table, taken apart as far as it chooses rows. */
export type SelectCondition =
  | { readonly condition: string | undefined }
  /** In words that complete "expected …". */
  | { readonly problem: string }

interface Token {
  readonly kind: 'word' | 'quoted' | 'other'
  /** Of a word in lower case, of a quoted name without its quotes. */
  readonly text: string
  readonly start: number
  readonly end: number
  /** Parentheses around it. */
  readonly depth: number
}

const NAME = '[\\p{L}_][\\p{L}\\p{N}_$]*'
/** Blanks and comments; then names, texts (with escapes, or between dollars), numbers and single signs. */
const SKIPPED = /(?:\s+|--[^\n]*|\/\*[\s\S]*?\*\/)+/y
const TEXT =
  /[eE]'(?:[^'\\]|''|\\[\s\S])*'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'|\$((?:[\p{L}_][\p{L}\p{N}_]*)?)\$[\s\S]*?\$\1\$/uy
const QUOTED = /"(?:[^"]|"")*"/y
const WORD = new RegExp(NAME, 'uy')
const OTHER = /\d[\p{L}\p{N}_.]*|[\s\S]/uy

const EXPECTED = 'SELECT * FROM schema.table [WHERE condition] [ORDER BY …], since rows are read in parts'
/** Clauses behind the condition that choose or change rows. */
const OTHER_CLAUSES = ['group', 'having', 'window', 'union', 'intersect', 'except', 'limit', 'offset', 'fetch', 'for']

/**
 * The condition of a SELECT that chooses rows of a table and nothing else: such a one can be read in parts, and again
 * behind a kill. An order is dropped: parts have their own. Names of its columns that are qualified by an alias or a schema
 * are qualified by the table's name in the condition.
 */
export function selectCondition(sql: string, schema: string, table: string): SelectCondition {
  const tokens = tokensOf(sql)
  if (tokens === undefined) return { problem: `${EXPECTED}, in which all quotes and parentheses are closed` }
  if (tokens.at(-1)?.text === ';') tokens.pop()
  if (tokens.some(token => token.text === ';' && token.kind === 'other')) return { problem: 'one statement' }
  const words = new Reader(tokens)
  if (!words.take('select')) return { problem: EXPECTED }
  words.take('all')
  const isPlain = takeColumns(words)
  if (!isPlain || !words.take('from')) {
    return { problem: `${EXPECTED}; columns are left out with column.exclude.list and masked with column.mask.*` }
  }
  words.take('only')
  const names = takeName(words)
  if (names.join('.') !== `${schema}.${table}` && names.join('.') !== table)
    return { problem: `rows FROM ${schema}.${table} alone` }
  const hasAs = words.take('as')
  const isAlias = hasAs || (words.next !== undefined && !['where', 'order', ...OTHER_CLAUSES].includes(words.next.text))
  const alias = isAlias ? words.name() : undefined
  if (isAlias && alias === undefined) return { problem: EXPECTED }
  if (words.next === undefined) return { condition: undefined }
  const from = words.next.end
  const isChosen = words.take('where')
  const rest = words.rest.filter(token => token.depth === 0)
  if (rest.some(token => token.kind === 'word' && OTHER_CLAUSES.includes(token.text))) return { problem: EXPECTED }
  if (!isChosen) return rest[0]?.text === 'order' ? { condition: undefined } : { problem: EXPECTED }
  const end = rest.find((token, i) => token.text === 'order' && rest[i + 1]?.text === 'by')?.start ?? tokens.at(-1)!.end
  const chosen = words.rest.filter(token => token.end <= end)
  if (chosen.length === 0) return { problem: EXPECTED }
  return qualified(sql, { from, end }, chosen, { schema, table, alias })
}

/** Undefined where something is not closed. */
function tokensOf(sql: string): Token[] | undefined {
  const tokens: Token[] = []
  let depth = 0
  for (let at = 0; ; ) {
    at += matchAt(SKIPPED, sql, at)?.length ?? 0
    if (at >= sql.length) return depth === 0 ? tokens : undefined
    const kind = KINDS.find(([pattern]) => matchAt(pattern, sql, at) !== undefined)!
    const text = matchAt(kind[0], sql, at)!
    if (text === "'" || text === '"') return undefined
    if (text === ')') depth--
    if (depth < 0) return undefined
    tokens.push({ kind: kind[1], text: kind[2](text), start: at, end: at + text.length, depth })
    if (text === '(') depth++
    at += text.length
  }
}

const KINDS = [
  [TEXT, 'other', (text: string) => text],
  [QUOTED, 'quoted', (text: string) => text.slice(1, -1).replaceAll('""', '"')],
  [WORD, 'word', (text: string) => text.toLowerCase()],
  [OTHER, 'other', (text: string) => text],
] as const

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** Goes through tokens. */
class Reader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get next(): Token | undefined {
    return this.#tokens[this.#at]
  }

  get rest(): readonly Token[] {
    return this.#tokens.slice(this.#at)
  }

  /** Goes past a word or sign, where it is the next. */
  take(text: string): boolean {
    const { next } = this
    if (next === undefined || next.kind === 'quoted' || next.text !== text) return false
    this.#at++
    return true
  }

  name(): string | undefined {
    const { next } = this
    if (next === undefined || next.kind === 'other') return undefined
    this.#at++
    return next.text
  }
}

/** `*`, or names of columns; false for anything else. */
function takeColumns(words: Reader): boolean {
  for (;;) {
    for (let isName = true; isName; isName = words.take('.')) {
      if (words.take('*')) break
      if (words.next?.text === 'distinct' || words.name() === undefined) return false
    }
    if (!words.take(',')) return true
  }
}

function takeName(words: Reader): string[] {
  const names = []
  do names.push(words.name() ?? '')
  while (words.take('.'))
  return names
}

/** The text of the condition, with one name for the table. */
function qualified(
  sql: string,
  { from, end }: { readonly from: number; readonly end: number },
  tokens: readonly Token[],
  { schema, table, alias }: { readonly schema: string; readonly table: string; readonly alias: string | undefined },
): SelectCondition {
  const isDot = (token: Token | undefined) => token?.text === '.' && token.kind === 'other'
  let text = ''
  let at = from
  const name = `"${table.replaceAll('"', '""')}"`
  for (const [i, token] of tokens.entries()) {
    if (token.kind === 'other' || isDot(tokens[i - 1]) || !isDot(tokens[i + 1])) continue
    const isWhole = token.text === schema && tokens[i + 2]?.text === table && isDot(tokens[i + 3])
    if (!isWhole && token.text !== alias) continue
    text += sql.slice(at, token.start) + name
    at = isWhole ? tokens[i + 2]!.end : token.end
  }
  // Inside of a SELECT the same name may mean something else.
  if (at > from && tokens.some(token => token.kind === 'word' && token.text === 'select')) {
    return {
      problem: `a condition with a SELECT of its own to name columns of ${schema}.${table} without alias or schema`,
    }
  }
  return { condition: (text + sql.slice(at, end)).trim() }
}
