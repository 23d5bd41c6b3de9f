import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Bench, measure } from './bench.ts'
import { cdcDrain, cdcSnapshot } from './cdc.ts'
import { cdcLatency } from './cdc-latency.ts'
import { cdcRss } from './cdc-rss.ts'
import { codecs } from './codecs.ts'
import { latencyP50, latencyP99 } from './latency.ts'
import { logAppend, logAppendShapes, logRead } from './log.ts'
import { logCompact } from './log-compact.ts'
import { logFlat } from './log-flat.ts'
import { logManyPartitions } from './log-partitions.ts'
import { logRecover } from './log-recover.ts'
import { eosOverhead, logToJsonl, logToText, tailToJsonl, tailToLog } from './pipelines.ts'
import { rss } from './rss.ts'

const BENCHES: readonly Bench[] = [
  tailToLog,
  logToText,
  logToJsonl,
  tailToJsonl,
  logAppend,
  logRead,
  latencyP50,
  latencyP99,
  rss,
  eosOverhead,
  logCompact,
  ...logAppendShapes,
  ...logManyPartitions,
  ...logRecover,
  ...logFlat,
  ...codecs,
  ...cdcDrain,
  cdcSnapshot,
  ...cdcLatency,
  cdcRss,
]

/**
 * `npm run bench [-- NAME…]`: one JSON line per benchmark; a name stands for all that begin with it (`latency`,
 * `log-append`, `log-flat`). Missing a goal is a line, not a failure. What is measured is JavaScript as the package has it: a
 * loader that compiles on the way adds its own to every function.
 */
async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter(name => !BENCHES.some(bench => isMeant(bench, name)))
  if (unknown.length > 0) {
    console.error(`no benchmark ${unknown.join(', ')}; there are ${BENCHES.map(b => b.name).join(', ')}`)
    process.exitCode = 2
    return
  }
  const runs = Number(process.env.KTS_BENCH_RUNS ?? 5)
  const bytes = Number(process.env.KTS_BENCH_BYTES ?? 512 << 20)
  for (const bench of BENCHES) {
    if (names.length > 0 && !names.some(name => isMeant(bench, name))) continue
    const directory = await mkdtemp(join(process.env.KTS_BENCH_DIR ?? tmpdir(), 'kts-bench-'))
    try {
      console.log(JSON.stringify(await measure(bench, { directory, bytes }, runs)))
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
}

function isMeant(bench: Bench, name: string): boolean {
  return bench.name === name || bench.name.startsWith(`${name}-`)
}

await main(process.argv.slice(2))
