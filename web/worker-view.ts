import type { Worker, WorkerConfig } from '../runtime/index.ts'

/** What the REST server needs of a worker; a test hands in something smaller. */
export type WorkerView = Pick<Worker, 'broker' | 'status' | 'signal'>

export type Broker = WorkerView['broker']

/** Connectors as they were configured, sources and sinks alike. */
export type ConnectorConfig = WorkerConfig['sources'][number] | WorkerConfig['sinks'][number]
