import type { Clock, ConnectRecord, Transform } from './api/index.ts'
import type { TransformConfig } from './config/types.ts'
import type { ConnectorCounters } from './counters.ts'

/** The transforms of one task as one function; undefined when there are none, so that batches stay packed. */
export function openTransforms(
  configs: readonly TransformConfig[],
  clock: Clock,
  counters: ConnectorCounters,
): Transform | undefined {
  if (configs.length === 0) return undefined
  const count = (name: string, by?: number) => counters.count(name, by)
  const chain = configs.map(({ transform, options }) => transform.open(options as never, { clock, count }))
  if (chain.length === 1) return chain[0]
  return <R extends ConnectRecord>(record: R): R | undefined => {
    let current: R | undefined = record
    for (const transform of chain) {
      current = transform(current)
      if (current === undefined) return undefined
    }
    return current
  }
}
