import { parseJson } from '../../base/index.ts'
import { UsageError } from '../failure.ts'
import { findWorker, type WorkerOptions } from '../find-worker.ts'
import { RemoteLog } from '../log-access.ts'
import { processOutput } from '../output.ts'
import { escapeControls } from '../text.ts'

export interface SignalOptions extends WorkerOptions {
  readonly tables?: readonly string[]
  readonly filter?: Readonly<Record<string, string>>
  readonly data?: string
}

/** Asks a connector of a running worker for something, and prints what it will do. */
export async function signal(connector: string, type: string, options: SignalOptions): Promise<void> {
  const data = signalData(options)
  const found = await findWorker(options)
  if (found.kind === 'stopped')
    throw new UsageError(`no worker runs on ${found.dataDir}: signals are for one that does`)
  const { message } = await new RemoteLog(found.url).signal(connector, { type, data })
  processOutput().line(escapeControls(message))
}

/** As Debezium's signals have it. */
export function signalData({ tables, filter, data }: SignalOptions): Readonly<Record<string, unknown>> {
  const given: unknown = data === undefined ? {} : parsed(data)
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new UsageError('--data: expected a JSON object')
  const conditions = Object.entries(filter ?? {}).map(([table, sql]) => ({ 'data-collection': table, filter: sql }))
  return {
    ...given,
    ...(tables === undefined ? {} : { 'data-collections': tables }),
    ...(conditions.length === 0 ? {} : { 'additional-conditions': conditions }),
  }
}

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw new UsageError('--data: expected a JSON object, in quotes for the shell: \'{"type":"incremental"}\'')
  }
}
