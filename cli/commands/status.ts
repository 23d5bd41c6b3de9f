import { systemClock } from '../../base/index.ts'
import type { WorkerStatus } from '../../runtime/index.ts'
import { EXIT_FAILED, Reported } from '../failure.ts'
import { findWorker, type WorkerOptions } from '../find-worker.ts'
import { RemoteLog } from '../log-access.ts'
import { processOutput } from '../output.ts'
import { STATUS_COLUMNS, statusNotes, statusRow } from '../status-text.ts'
import { formatDuration } from '../text.ts'

/** Exits with 1 when no worker runs or a connector has failed, so that scripts can ask. */
export async function status(options: WorkerOptions & { json?: boolean }): Promise<void> {
  const output = processOutput()
  const found = await findWorker(options)
  if (found.kind === 'stopped') {
    if (options.json) output.line(JSON.stringify({ state: 'STOPPED', dataDir: found.dataDir }))
    else {
      output.line(`Stopped: no worker runs on ${found.dataDir}.`)
      output.line('`kts-connect start FILE` starts one; `topics` and `consume` read the stopped log.')
    }
    throw new Reported(EXIT_FAILED)
  }
  const worker = await new RemoteLog(found.url).status()
  if (options.json) output.line(JSON.stringify({ state: 'RUNNING', url: found.url, ...worker }))
  else print(worker, found.url)
  if (worker.connectors.some(connector => connector.state === 'FAILED')) throw new Reported(EXIT_FAILED)

  function print(worker: WorkerStatus, url: string): void {
    const uptime = formatDuration(systemClock.now() - worker.startedAt)
    output.line(`Running at ${url}, up ${uptime}, data in ${worker.dataDir}`)
    output.table(STATUS_COLUMNS, worker.connectors.map(statusRow))
    for (const note of statusNotes(worker)) output.line(note)
  }
}
