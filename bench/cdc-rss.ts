import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { Bench } from './bench.ts'
import { CdcDatabase } from './cdc-database.ts'

const ROWS = Number(process.env.KTS_BENCH_ROWS ?? 1_000_000)
const LIMIT_MB = 200

/** Peak resident memory of a worker (the built package) that drains a backlog. */
export const cdcRss: Bench = {
  name: 'cdc-rss',
  unit: 'MB',
  against: `${LIMIT_MB} MB`,
  must: 1,
  goal: 0.7,
  lowerIsBetter: true,
  runsMax: 5,
  open: async ({ directory }) => {
    const database = await CdcDatabase.open(directory)
    await database.makeBacklog(ROWS, 100, 'unix')
    return {
      ours: () => peakWhileDraining(database),
      theirs: async () => LIMIT_MB,
      close: () => database.close(),
    }
  },
}

/** VmHWM of the worker when it has confirmed everything, in megabytes of 10^6 bytes. */
async function peakWhileDraining(database: CdcDatabase): Promise<number> {
  const args = await database.workerArguments('unix')
  const worker = spawn(process.execPath, ['dist/cli/main.js', ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise<number | null>(resolve => worker.once('exit', resolve))
  await database.caughtUp()
  const status = await readFile(`/proc/${worker.pid}/status`, 'latin1')
  worker.kill('SIGTERM')
  await ended
  return (Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024) / 1e6
}
