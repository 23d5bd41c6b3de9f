import type { ConnectorStatus, WorkerStatus } from '../../runtime/index.ts'
import type { ConnectorConfig, WorkerView } from '../../web/worker-view.ts'

/** A connector's status as a worker gives it. */
export function connectorStatus(name: string, changes: Partial<ConnectorStatus> = {}): ConnectorStatus {
  return {
    name,
    pipeline: 'p',
    kind: 'source',
    type: 'file',
    topics: ['lines'],
    state: 'RUNNING',
    tasks: [{ id: 0, state: 'RUNNING', trace: undefined, restarts: 0 }],
    counters: {
      recordsRead: 0,
      bytesRead: 0,
      recordsLogged: 0,
      recordsDelivered: 0,
      bytesOut: 0,
      recordsFiltered: 0,
      recordsDeadLettered: 0,
      recordsSkipped: 0,
      recordsAborted: 0,
      recordsInFlight: 0,
      recordsAbandoned: 0,
      errors: 0,
      retries: 0,
    },
    lag: undefined,
    facts: {},
    events: {},
    ...changes,
  }
}

export function workerStatus(connectors: readonly ConnectorStatus[]): WorkerStatus {
  return { version: '0.0.0', startedAt: 1_700_000_000_000, dataDir: '/data', connectors }
}

/** What the REST server reads of a connector's configuration. */
export function connectorConfig(
  name: string,
  kind: 'source' | 'sink',
  shown: Readonly<Record<string, string>>,
  version = '4.1.2',
): ConnectorConfig {
  const connector = { kind, name: shown.type ?? 'file', version, aliases: [], doc: '', options: {} }
  return { name, kind, pipeline: 'p', shown, connector } as unknown as ConnectorConfig
}

/** A worker that nobody may signal. */
export const noSignals: WorkerView['signal'] = () => Promise.reject(new Error('not asked for'))
