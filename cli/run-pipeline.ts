import { type Logger, sleep, systemClock } from '../base/index.ts'
import type { ConnectorStatus } from '../runtime/index.ts'
import type { Pipeline } from './compose.ts'
import { EXIT_FAILED, Reported } from './failure.ts'
import type { Progress } from './progress.ts'

const LOOK_MS = 1000

/** Says so when a stop is asked for, also when it was before. */
export function tellStop(stopping: AbortSignal, log: Logger): void {
  const tell = () =>
    log.info({ signal: stopping.reason }, 'stopping: draining and committing; a second signal stops at once')
  if (stopping.aborted) tell()
  else stopping.addEventListener('abort', tell)
}

/** Shows how it goes until the end or `stopping`; rejects with Reported when a connector has failed for good and nothing is left. */
export async function runPipeline(pipeline: Pipeline, progress: Progress, stopping: AbortSignal): Promise<void> {
  const ending = new AbortController()
  if (stopping.aborted) ending.abort()
  stopping.addEventListener('abort', () => ending.abort())
  void pipeline.finished.then(() => ending.abort())
  while (!ending.signal.aborted) {
    await pipeline.status().then(
      status => progress.show(status),
      error => progress.log.warn({ err: error }, 'the status could not be read'),
    )
    await sleep(systemClock, LOOK_MS, ending.signal)
  }
  const status = await pipeline.stop()
  progress.end(status)
  const failed = status.connectors.filter(connector => connector.state === 'FAILED')
  for (const connector of failed) progress.log.error(...failure(connector))
  if (failed.length > 0 && !stopping.aborted) throw new Reported(EXIT_FAILED)
  progress.log.info({}, stopping.aborted ? 'stopped' : 'finished: everything was read and delivered')
}

function failure({ name, tasks }: ConnectorStatus): [object, string] {
  const trace = tasks.find(task => task.trace !== undefined)?.trace
  if (trace?.startsWith('POSITION_LOST') === true)
    return [
      { connector: name, trace },
      'failed for good: it cannot go on where it was; the ways on stand with the cause',
    ]
  const others =
    trace?.startsWith('CONFIG_INVALID') === true ? ' (kts-connect validate --connect looks for others)' : ''
  return [
    { connector: name, trace },
    `failed for good: mend the cause${others} and start again, it goes on where it was`,
  ]
}
