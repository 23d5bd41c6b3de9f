#!/usr/bin/env node
import { fileURLToPath } from 'node:url'
import { systemClock, systemRandom } from '../base/index.ts'
import { growAccessLog } from './access-log-file.ts'
import { loadPipeline, startConfig } from './compose.ts'
import { exitCodeOf, failureLines, Reported } from './failure.ts'
import { packageRoot } from './package-root.ts'
import { openProgress } from './progress.ts'
import { runPipeline, tellStop } from './run-pipeline.ts'
import { processSignals } from './signals.ts'

/** `npm start`: configs/quickstart.yaml, beside a generator that keeps one of its two logs growing. */
async function quickstart(): Promise<void> {
  const { stopping } = processSignals()
  const folder = fileURLToPath(new URL('configs/', packageRoot()))
  const config = await loadPipeline([`${folder}quickstart.yaml`])
  const progress = openProgress('info')
  tellStop(stopping, progress.log)
  const stop = new AbortController()
  const growing = growAccessLog(`${folder}quickstart/growing.log`, LINES_PER_SECOND, {
    random: systemRandom,
    clock: systemClock,
    signal: stop.signal,
  })
  const pipeline = await startConfig(config, { log: progress.log })
  const exports = `${folder}quickstart/exports`
  progress.log.info(
    { objects: exports, look: `find ${exports} -name '*.gz' | head -1 | xargs gzip -dc | head -3`, rest: pipeline.url },
    'two access logs flow into objects; the first ones appear within seconds',
  )
  progress.log.info({ status: `npx kts-connect status -f ${folder}quickstart.yaml` }, 'from another shell')
  try {
    await runPipeline(pipeline, progress, stopping)
  } finally {
    stop.abort()
    await growing
  }
}

const LINES_PER_SECOND = 50

process.umask(0o077)
quickstart().catch(error => {
  if (!(error instanceof Reported)) for (const line of failureLines(error, false)) process.stderr.write(`${line}\n`)
  process.exit(exitCodeOf(error))
})
