/** One entry of `add.fields` or `add.headers`: `op`, `source.lsn`, `source.table:tbl`. */
export interface FieldReference {
  /** Member of the envelope that holds the field; undefined for the envelope itself. */
  readonly parent: string | undefined
  readonly field: string
  /** Under which name it is added. */
  readonly target: string
}

const OF_ENVELOPE = new Set(['op', 'ts_ms', 'ts_us', 'ts_ns'])
const OF_TRANSACTION = new Set(['id', 'total_order', 'data_collection_order'])

/** Where Debezium looks for a field that is written without its struct. */
function parentOf(field: string): string | undefined {
  if (OF_ENVELOPE.has(field)) return undefined
  return OF_TRANSACTION.has(field) ? 'transaction' : 'source'
}

export function readFieldReference(written: string, prefix: string): FieldReference {
  const [path = '', name = ''] = written.trim().split(':')
  const [first = '', second] = path.split('.')
  if (second === undefined) {
    return { parent: parentOf(first), field: first, target: prefix + (name === '' ? first : name) }
  }
  return { parent: first, field: second, target: prefix + (name === '' ? `${first}_${second}` : name) }
}

/** What is wrong with a list of references, in words that complete "expected …". */
export function problemOfReferences(list: readonly string[]): string | undefined {
  const wrong = list.find(written => !/^[^.:]+(\.[^.:]+)?(:[^:]*)?$/.test(written.trim()))
  return wrong === undefined ? undefined : `a field such as op, source.lsn or source.lsn:position, not ${wrong}`
}
