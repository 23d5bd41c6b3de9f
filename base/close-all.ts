/** Closes all at once, the others even when one fails; rejects with the first failure when all have ended. */
export async function closeAll(parts: readonly { close(): Promise<void> }[]): Promise<void> {
  const results = await Promise.allSettled(parts.map(part => part.close()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
