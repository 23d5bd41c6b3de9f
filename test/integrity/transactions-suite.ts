import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { committedRecords, type PlainRecord, readPlainLog } from './log/plain-log.ts'
import type { Findings, Suite } from './suite.ts'

const TOPICS = ['orders', 'lines', 'payments'] as const
const PARTITIONS = 3
/** In each partition. */
const TRANSACTION_RECORDS = 20
const PAYLOAD_BYTES = 100
const STEP_MS = 20
const EXAMPLES_MAX = 10

const PIPELINE = `
name: integrity
worker:
  rest.port: 0
topics:
  orders: { partitions: ${PARTITIONS}, segment.bytes: 1MiB }
  lines: { partitions: ${PARTITIONS}, segment.bytes: 1MiB }
  payments: { partitions: ${PARTITIONS}, segment.bytes: 1MiB }
sources:
  load:
    type: verifiable
    topics: [${TOPICS.join(', ')}]
    partitions: ${PARTITIONS}
    throughput: 5000
    payload.bytes: ${PAYLOAD_BYTES}
    transaction.boundary: connector
    transaction.records: ${TRANSACTION_RECORDS}
    transaction.abort.every: 5
`

/** Transactions over all partitions of three topics, some aborted on purpose: whole or not at all, and each once. */
export const transactionsSuite: Suite = {
  name: 'transactions',
  doc: 'transactions over nine partitions of three topics, read by a reader of its own',
  recordsMin: 20_000,
  async prepare(directory) {
    const config = join(directory, 'pipeline.yaml')
    writeFileSync(config, PIPELINE)
    return {
      config,
      written: Number.POSITIVE_INFINITY,
      step: () => new Promise(resolve => setTimeout(resolve, STEP_MS)),
      known() {},
      async finish() {},
      check: async () => compareTransactions(join(directory, '.kts-connect')),
    }
  },
}

/** What a consumer that reads committed records finds in the files of the log. */
export function compareTransactions(data: string): Findings {
  const found = new FoundTransactions()
  for (const topic of TOPICS) {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const folder = join(data, `${topic}-${partition}`)
      if (!existsSync(folder)) return { ...found.findings(), lost: 1 }
      found.take(`load/${topic}/${partition}`, recordsIn(folder))
    }
  }
  return found.findings()
}

/** A batch that a running worker has written in part is an error like any other: then what is there is not known. */
function recordsIn(folder: string): readonly PlainRecord[] | string {
  try {
    return committedRecords(readPlainLog(folder))
  } catch (error) {
    return String(error)
  }
}

class FoundTransactions {
  readonly #counts = { records: 0, lost: 0, altered: 0, reordered: 0, duplicates: 0 }
  readonly #examples: string[] = []
  /** By number of the transaction: records that came out. */
  readonly #sizes = new Map<number, number>()

  take(source: string, records: readonly PlainRecord[] | string): void {
    if (typeof records === 'string') {
      this.#note('lost', `${source}: ${records}`)
      return
    }
    const seen = new Set<number>()
    let highest = -1
    for (const { offset, value } of records) {
      const seq = numberIn(source, value)
      const place = `${source} at offset ${offset}`
      if (seq === undefined) this.#note('altered', place)
      else if (seen.has(seq)) this.#note('duplicates', `${place}: number ${seq}`)
      else {
        if (seq < highest) this.#note('reordered', `${place}: number ${seq} behind ${highest}`)
        seen.add(seq)
        highest = Math.max(highest, seq)
        const transaction = Math.floor(seq / TRANSACTION_RECORDS)
        this.#sizes.set(transaction, (this.#sizes.get(transaction) ?? 0) + 1)
      }
    }
    this.#counts.records += seen.size
    for (let seq = 0; seq < highest; seq++) if (!seen.has(seq)) this.#note('lost', `${source}: number ${seq}`)
  }

  findings(): Findings {
    const whole = TOPICS.length * PARTITIONS * TRANSACTION_RECORDS
    const half = [...this.#sizes].filter(([, size]) => size !== whole)
    const examples = [...this.#examples, ...half.map(([n, size]) => `transaction ${n}: ${size} of ${whole} records`)]
    return { ...this.#counts, half: half.length, examples: examples.slice(0, EXAMPLES_MAX) }
  }

  #note(what: 'lost' | 'altered' | 'reordered' | 'duplicates', example: string): void {
    this.#counts[what]++
    this.#examples.push(`${what}: ${example}`)
  }
}

/** Undefined when it is not, byte for byte but for its check sum, a record of this source. */
function numberIn(source: string, value: Buffer | null): number | undefined {
  const match = /^\{"source":"([^"]*)","seq":(\d+),"payload":"(x*)","check":"[0-9a-f]{8}"\}$/.exec(String(value))
  return match?.[1] === source && match[3]!.length === PAYLOAD_BYTES ? Number(match[2]) : undefined
}
