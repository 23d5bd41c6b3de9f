import type pg from 'pg'
import { type Clock, KtsError, type Logger, sleep } from '../../runtime/api/index.ts'
import { cut } from './connection.ts'

const TELL_MS = 10_000

/** Beside a replication connection that makes a slot, which waits for the transactions that run. */
export interface CreationWatch {
  /** Another connection, with nothing else to do meanwhile. */
  readonly client: pg.Client
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  readonly tellMs?: number
}

/**
 * Waits for `creation`, tells every ten seconds which transactions it waits for, and gives it up when the signal aborts:
 * the server, which would not notice that nobody listens any more, is told to end it.
 */
export async function watchCreation<T>(
  replication: pg.Client,
  slot: string,
  creation: () => Promise<T>,
  watch: CreationWatch,
): Promise<T> {
  const { signal } = watch
  const because = () => new KtsError('RETRIABLE', `slot ${slot}: gave up making it, since the connector stops`)
  if (signal.aborted) throw because()
  const done = new AbortController()
  const watching = tellOfBlockers(slot, watch, AbortSignal.any([signal, done.signal]))
  const making = creation()
  const stopped = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(because()), { once: true, signal: done.signal })
  })
  try {
    return await Promise.race([making, stopped])
  } catch (error) {
    if (signal.aborted) {
      // Its end is ours; nobody waits for it.
      making.catch(() => {})
      await watching
      await terminate(replication, watch.client)
    }
    throw error
  } finally {
    done.abort()
    await watching
  }
}

async function tellOfBlockers(slot: string, watch: CreationWatch, until: AbortSignal): Promise<void> {
  const { client, clock, log, tellMs = TELL_MS } = watch
  while (await sleep(clock, tellMs, until)) {
    try {
      const blockers = await runningTransactions(client)
      log.warn({ slot }, `slot ${slot} is made once the transactions that run now have ended: ${blockers}`)
    } catch (error) {
      log.debug({ err: error }, 'the running transactions could not be asked for')
      return
    }
  }
}

async function runningTransactions(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT name FROM (
       SELECT xact_start AS since, format('process %s (%s, user %s, for %s s)', pid,
         COALESCE(NULLIF(application_name, ''), 'no application name'), usename, extract(epoch FROM now() - xact_start)::int) AS name
       FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
       UNION ALL
       SELECT prepared, format('prepared transaction %L (user %s, for %s s)', gid, owner, extract(epoch FROM now() - prepared)::int)
       FROM pg_prepared_xacts) t
     ORDER BY since LIMIT 5`,
  )
  return rows.length === 0 ? 'none that can be seen' : rows.map(row => row.name).join(', ')
}

async function terminate(replication: pg.Client, client: pg.Client): Promise<void> {
  const { processID } = replication as unknown as { processID: number | null }
  cut(replication)
  await client.query('SELECT pg_terminate_backend($1)', [processID]).catch(() => {})
}
