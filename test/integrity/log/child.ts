import { openSync, writeSync } from 'node:fs'
import { FaultyFiles, type FileCall } from '../../../base/faulty-files.ts'
import { ManualClock, nodeFiles, SeededRandom } from '../../../base/index.ts'
import { openLog } from './open.ts'
import { ensureTopics, runWorkload, GZIP_TOPICS } from './workload.ts'

/** What `kills.ts` asks of its child process. */
export interface ChildOrder {
  readonly directory: string
  /** Events are appended here, a line each: what is written outlives the kill. */
  readonly journal: string
  readonly seed: number
  readonly transactions: number
  /** Numbers of the writers' next transactions. */
  readonly next: Readonly<Record<string, number>>
  /** Milliseconds since the epoch. */
  readonly now: number
  /** The process kills itself right before its nth file call that changes anything; 0 never. */
  readonly killAt: number
}

/** Calls that change the disk: between two others there is nothing to be killed at. */
const CHANGES: ReadonlySet<FileCall> = new Set([
  'open',
  'write',
  'datasync',
  'syncDirectory',
  'rename',
  'truncate',
  'unlink',
  'mkdir',
  'removeTree',
])

const order = JSON.parse(process.argv[2]!) as ChildOrder
const journal = openSync(order.journal, 'a')
const numbers = new Map(Object.entries(order.next))
const clock = new ManualClock(order.now)
let changes = 0
const files = new FaultyFiles(nodeFiles, call => {
  if (CHANGES.has(call) && ++changes === order.killAt) process.kill(process.pid, 'SIGKILL')
})
const { directory, seed } = order
const broker = await openLog({ files, directory, clock, name: `child ${process.pid}`, seed })
await ensureTopics(broker, GZIP_TOPICS)
const failure = await runWorkload({
  broker,
  random: new SeededRandom(seed),
  topics: GZIP_TOPICS,
  transactions: order.transactions,
  next: writer => {
    const number = numbers.get(writer) ?? 0
    numbers.set(writer, number + 1)
    return number
  },
  tell: event => void writeSync(journal, `${JSON.stringify(event)}\n`),
  advance: ms => clock.advance(ms),
})
if (failure !== undefined) throw failure
await broker.close()
writeSync(journal, `${JSON.stringify({ kind: 'closed', changes })}\n`)
