import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Findings } from '../suite.ts'
import { WorkerProcess } from '../worker-process.ts'

/** How much of the suite runs. */
export interface PartSize {
  readonly seed: number
  /** Restarts, cuts, stops. */
  readonly rounds: number
  /** Rows of the large transaction. */
  readonly rows: number
  readonly say: (line: string) => void
}

export interface PostgresPart {
  readonly name: string
  readonly doc: string
  /** Answers which promises were broken, in words; [] for none. */
  run(directory: string, size: PartSize): Promise<readonly string[]>
}

export interface PostgresPartReport {
  readonly part: string
  readonly broken: readonly string[]
  readonly seconds: number
}

export async function runPart(part: PostgresPart, size: PartSize): Promise<PostgresPartReport> {
  const started = Date.now()
  const directory = mkdtempSync(join(tmpdir(), `kts-integrity-postgres-${part.name}-`))
  size.say(`${part.name}: ${part.doc}; seed ${size.seed}, in ${directory}`)
  let broken: readonly string[]
  try {
    broken = await part.run(directory, size)
  } catch (error) {
    broken = [error instanceof Error ? `${error.message}\n${error.stack}` : String(error)]
  }
  if (broken.length === 0) rmSync(directory, { recursive: true })
  for (const problem of broken) size.say(`${part.name}: ${problem}`)
  const seconds = Math.round((Date.now() - started) / 1000)
  size.say(`${part.name}: ${broken.length === 0 ? 'kept' : 'BROKEN'}, ${seconds} s`)
  return { part: part.name, broken, seconds }
}

/** Runs `work` beside a worker, which is stopped at the end, and answers what `work` does. */
export async function withWorker<T>(
  config: string,
  directory: string,
  work: (worker: WorkerProcess) => Promise<T>,
): Promise<T> {
  const worker = new WorkerProcess(config, join(directory, 'worker.log'))
  try {
    return await work(worker)
  } finally {
    worker.signal('SIGTERM')
    const killing = setTimeout(() => worker.signal('SIGKILL'), 15_000)
    await worker.ended
    clearTimeout(killing)
  }
}

/** Everything has come, once and in order. */
export function isWhole({ lost, altered, reordered, duplicates, half }: Findings): boolean {
  return lost + altered + reordered + duplicates + (half ?? 0) === 0
}

/** Asks again and again until the answer is true; false when it never was. */
export async function eventually(ask: () => Promise<boolean> | boolean, maxMs: number): Promise<boolean> {
  const deadline = Date.now() + maxMs
  for (;;) {
    if (await ask()) return true
    if (Date.now() > deadline) return false
    await pause(100)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
