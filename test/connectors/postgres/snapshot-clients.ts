import type pg from 'pg'

type Query = (...parts: unknown[]) => Promise<pg.QueryResult>

function patched(client: pg.Client, change: (query: Query) => Query): pg.Client {
  const query = client.query.bind(client) as Query
  const changed = change(query)
  const any = client as { query: unknown }
  any.query = (...parts: unknown[]) => (typeof parts[0] === 'string' ? changed(...parts) : query(...parts))
  return client
}

/** Waits in front of each statement. */
export function interrupted(client: pg.Client, between: (() => Promise<void>) | undefined): pg.Client {
  if (between === undefined) return client
  return patched(client, query => async (...parts) => {
    await between()
    return query(...parts)
  })
}

/** Waits behind the making of a slot, before the answer is handed on. */
export function followed(client: pg.Client, placed: (() => Promise<void>) | undefined): pg.Client {
  if (placed === undefined) return client
  return patched(client, query => async (...parts) => {
    const result = await query(...parts)
    if (String(parts[0]).startsWith('CREATE_REPLICATION_SLOT')) await placed()
    return result
  })
}
