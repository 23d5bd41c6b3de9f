import type pg from 'pg'
import { KtsError } from '../../../runtime/api/index.ts'
import type { LogicalMessage } from '../changes.ts'
import { serverError } from '../server-error.ts'

/** `cannot assign TransactionIds during recovery`, which is never translated and has no SQLSTATE of its own. */
const IN_RECOVERY = /during recovery/
/** Prefix of the messages that say in the stream when rows were read. They are no events. */
const WATERMARK = 'kts-connect.watermark'

/** `low` is in front of the reading, `high` behind it; `place` only makes the stream move on. */
export interface Watermark {
  readonly kind: 'low' | 'high' | 'place'
  readonly id: string
}

/** Resolves once it is committed: a snapshot taken then sees every transaction that is in front of it, but see ToldTransactions. */
export async function emitWatermark(client: pg.Client, { kind, id }: Watermark): Promise<void> {
  try {
    await client.query('SELECT pg_logical_emit_message(true, $1, $2)', [WATERMARK, `${kind}:${id}`])
  } catch (error) {
    const problem = serverError(error, 'writing a watermark, by which tables are read beside the stream')
    if (!IN_RECOVERY.test(problem.message)) throw problem
    throw new KtsError('CONFIG_INVALID', `${problem.message}: it needs the primary, not a standby`, { cause: error })
  }
}

/** Undefined for another message. */
export function watermarkOf(message: LogicalMessage): Watermark | undefined {
  if (message.prefix !== WATERMARK) return undefined
  const match = /^(low|high|place):(.+)$/.exec(message.content.toString('latin1'))
  return match === null ? undefined : { kind: match[1] as Watermark['kind'], id: match[2]! }
}
