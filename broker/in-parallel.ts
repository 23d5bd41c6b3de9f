/** At the same time: enough to keep a disk busy, few enough for the memory that partitions are read into. */
const PARALLEL = 8

/** A few at a time, in no order. Rejects with the first failure once nothing is under way. */
export async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < items.length) await work(items[next++]!)
  }
  const results = await Promise.allSettled(Array.from({ length: PARALLEL }, worker))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
