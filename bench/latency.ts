import { appendFile, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SeededRandom } from '../base/index.ts'
import type { Broker } from '../broker/index.ts'
import { accessLogLine } from '../cli/access-log.ts'
import type { Bench, BenchContext } from './bench.ts'
import { openWorker } from './open-log.ts'

const LINES_PER_SECOND = 50_000
const RUN_MS = 4000
const TICK_MS = 2
const SYNC_BLOCK_BYTES = 64 << 10

/**
 * File append → readable (fsynced) in the log at 50,000 lines a second, against our own 64 KB write + fdatasync. The same
 * lines are appended beside both: a file system that orders its journal makes every sync wait for other files' data, too.
 */
function latency(percentile: number, must: number, goal: number): Bench {
  return {
    name: `latency-p${percentile}`,
    unit: 'ms',
    against: `64 KB write + fdatasync, p${percentile}`,
    must,
    goal,
    lowerIsBetter: true,
    open: async context => {
      let run = 0
      return {
        ours: async () => quantile(await tailLatencies(context, run++), percentile / 100),
        theirs: async () => quantile(await syncLatencies(context), percentile / 100),
        close: async () => {},
      }
    },
  }
}

export const latencyP50 = latency(50, 10, 5)
export const latencyP99 = latency(99, 20, 15)

/** Each tick appends lines that begin with their time; a reader of the log compares it with its own clock. */
async function tailLatencies({ directory }: BenchContext, run: number): Promise<number[]> {
  const input = join(directory, `latency-${run}.log`)
  const yaml = join(directory, `latency-${run}.yaml`)
  await writeFile(input, '')
  await writeFile(
    yaml,
    `name: latency\nworker: { rest.port: 0 }\nsources: { tail: { type: file, paths: [${input}], topic: lines } }\n`,
  )
  const pipeline = await openWorker(yaml, join(directory, `latency-data-${run}`))
  const stop = new AbortController()
  const reading = readLatencies(pipeline.broker, stop.signal)
  await appendLines(input)
  await new Promise(resolve => setTimeout(resolve, 200))
  stop.abort()
  const latencies = await reading
  await pipeline.stop()
  return latencies
}

async function readLatencies(broker: Broker, signal: AbortSignal): Promise<number[]> {
  const latencies: number[] = []
  let offset = 0
  while (!signal.aborted) {
    const read = await broker.read('lines', 0, offset, {
      isolation: 'read_committed',
      bytesMax: 1 << 20,
      waitMs: 100,
      signal,
    })
    const now = performance.now()
    for (const { records, nextOffset } of read.batches) {
      for (let i = 0; i < records.count; i++) {
        const line = records.value(i)!
        latencies.push(now - Number(line.toString('latin1', 0, line.indexOf(32))))
      }
      offset = nextOffset
    }
    read.release()
  }
  return latencies
}

/** Appends lines that begin with their time, `LINES_PER_SECOND` of them, for `RUN_MS`. */
async function appendLines(file: string): Promise<void> {
  const random = new SeededRandom(1)
  const tails = Array.from({ length: (LINES_PER_SECOND * TICK_MS) / 1000 }, () => accessLogLine(random, 0))
  const started = performance.now()
  for (let tick = 0; performance.now() - started < RUN_MS; tick++) {
    const now = performance.now()
    await appendFile(file, tails.map(tail => `${now} ${tail}\n`).join(''))
    const wait = started + (tick + 1) * TICK_MS - performance.now()
    if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
  }
}

async function syncLatencies({ directory }: BenchContext): Promise<number[]> {
  const file = await open(join(directory, 'sync.bin'), 'w')
  const block = Buffer.alloc(SYNC_BLOCK_BYTES, 'x')
  const latencies: number[] = []
  let appending = true
  const appended = appendLines(join(directory, 'beside.log')).finally(() => {
    appending = false
  })
  while (appending) {
    const started = performance.now()
    await file.write(block)
    await file.datasync()
    latencies.push(performance.now() - started)
  }
  await appended
  await file.close()
  return latencies
}

function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
}
