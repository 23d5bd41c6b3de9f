import { type ChildProcess, spawn } from 'node:child_process'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SeededRandom } from '../base/index.ts'
import { accessLogChunk } from '../cli/access-log.ts'
import type { Bench, BenchContext } from './bench.ts'
import { kafkaRecovery } from './kafka-recover.ts'
import { fill } from './log-input.ts'
import { openLog } from './open-log.ts'

export const KEPT_BYTES = Number(process.env.KTS_BENCH_KEPT_BYTES ?? 5 * 2 ** 30)
/** What is written between a start and the kill. */
const WRITTEN_BYTES = 32 << 20
const START_MAX_MS = 60_000
const WRITE_MAX_MS = 30_000

const chunk = accessLogChunk(new SeededRandom(3), WRITTEN_BYTES, 0, 10)

/** A worker on a log that keeps 5 GB, killed while it writes: from its start until its REST API answers. */
function recover(partitions: number, must: number, goal: number): Bench {
  return {
    name: `log-recover-${partitions}`,
    unit: 's',
    against: 'Apache Kafka, killed and started again',
    must,
    goal,
    lowerIsBetter: true,
    runsMax: 3,
    async open(context) {
      await fillLog(context, partitions)
      const pipeline = await writePipeline(context, partitions)
      const kafka = await kafkaRecovery(join(context.directory, 'kafka'), partitions, KEPT_BYTES)
      return {
        ours: () => startAndKill(context, pipeline),
        theirs: kafka === undefined ? undefined : () => kafka.restart(),
        close: async () => {
          await kafka?.close()
        },
      }
    },
  }
}

export const logRecover: readonly Bench[] = [recover(1, 0.1, 0.05), recover(1024, 0.25, 0.13)]

async function fillLog({ directory }: BenchContext, partitions: number): Promise<void> {
  const broker = await openLog(join(directory, 'data'))
  await broker.ensureTopic({ name: 'lines', partitions, configs: { 'retention.ms': '-1' } })
  await fill(broker, 'lines', partitions, KEPT_BYTES)
  await broker.close()
}

async function writePipeline({ directory }: BenchContext, partitions: number): Promise<string> {
  await writeFile(join(directory, 'in.log'), '')
  const yaml = join(directory, 'recover.yaml')
  const source = `{ type: file, paths: [${join(directory, 'in.log')}], topic: lines, partition.by: round-robin }`
  await writeFile(
    yaml,
    `name: recover\nworker: { rest.port: 0 }\ntopics: { lines: { partitions: ${partitions}, retention.ms: -1 } }\nsources: { tail: ${source} }\n`,
  )
  return yaml
}

/** Seconds from the start of the process to the first answer; then it is given lines, and killed once they are logged. */
async function startAndKill({ directory }: BenchContext, yaml: string): Promise<number> {
  const started = performance.now()
  const args = ['dist/cli/main.js', 'start', yaml, '--data-dir', join(directory, 'data')]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise(resolve => child.once('exit', resolve))
  try {
    const url = await addressOf(child, join(directory, 'data'), started)
    await fetch(url)
    const seconds = (performance.now() - started) / 1000
    await write(join(directory, 'in.log'), url)
    return seconds
  } finally {
    child.kill('SIGKILL')
    await ended
  }
}

/** The owner file tells where the worker answers. */
async function addressOf(child: ChildProcess, dataDir: string, started: number): Promise<string> {
  let said = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    said += chunk
  })
  while (performance.now() - started < START_MAX_MS) {
    if (child.exitCode !== null) throw new Error(`the worker ended with ${child.exitCode}: ${said}`)
    for (let n = 0; n < 64; n++) {
      const text = await readFile(join(dataDir, 'meta', `owner-${n}.json`), 'utf8').catch(() => undefined)
      const owner =
        text === undefined || text === '' ? undefined : (JSON.parse(text) as { pid: number; address?: string })
      if (owner?.pid === child.pid && owner?.address !== undefined) return owner.address
    }
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  throw new Error(`no answer in ${START_MAX_MS} ms: ${said}`)
}

async function write(input: string, url: string): Promise<void> {
  const before = await logged(url)
  await appendFile(input, chunk.text, 'latin1')
  for (const end = performance.now() + WRITE_MAX_MS; performance.now() < end; ) {
    if ((await logged(url)) >= before + chunk.lines) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error('the lines were not logged in time')
}

async function logged(url: string): Promise<number> {
  const status = (await (await fetch(new URL('/kts/status', url))).json()) as {
    connectors: { counters: { recordsLogged: number } }[]
  }
  return status.connectors[0]!.counters.recordsLogged
}
