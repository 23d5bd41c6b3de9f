import type { ReadConnector } from './connector-options.ts'
import { writtenText } from './flat-options.ts'
import type { Problems } from './problems.ts'
import type { WorkerConfig } from './types.ts'

const BOUNDARY = 'transaction.boundary'
const INTERVAL = 'transaction.boundary.interval.ms'
const REQUIRED = 'exactly.once.support'
const SUPPORT = 'exactly.once.source.support'
const TIMEOUT = 'transaction.timeout.ms'

/** What a source's transactions need of its connector and of the worker (KIP-618). */
export function checkTransactions(
  connectors: readonly ReadConnector[],
  worker: WorkerConfig['worker'],
  problems: Problems,
): void {
  for (const { config, path, given } of connectors) {
    if (config.kind === 'sink') continue
    const boundary = config.common[BOUNDARY]
    const report = (name: string, message: string) => {
      const option = given.get(name)
      problems.add(option?.value.place ?? config.place, `${path}.${option?.key ?? name}`, message)
    }
    if (boundary === 'connector') {
      if (config.connector.canDefineTransactionBoundaries?.(config.options as never) !== true)
        report(
          BOUNDARY,
          `expected poll or interval, got connector: with these options ${config.connector.name} does not say where transactions end`,
        )
      else if (worker[SUPPORT] === 'disabled')
        report(BOUNDARY, `expected poll or interval, since worker.${SUPPORT} is disabled; got connector`)
    }
    const required = given.get(REQUIRED)
    if (required !== undefined && /^required$/i.test(writtenText(required).trim()) && worker[SUPPORT] === 'disabled')
      report(REQUIRED, `expected requested, since worker.${SUPPORT} is disabled; got required`)
    const interval = config.common[INTERVAL] ?? worker['offset.flush.interval.ms']
    if (boundary === 'interval' && interval >= worker[TIMEOUT])
      report(
        INTERVAL,
        `expected less than worker.${TIMEOUT} (${worker[TIMEOUT]}), got ${interval}: every transaction would be aborted`,
      )
  }
}
