import { expect, test } from 'vitest'
import { packRecords } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import type { Partition } from '../../broker/partition.ts'
import type { Outcome } from '../../broker/producers.ts'
import { openPartition, SETTINGS } from '../support/golden.ts'

const DIRECTORY = '/d/log-0'
const SEEDS = 150
const ROUNDS = 4
const STEPS = 25

/** What was written, and what somebody was told of it. */
interface Transaction {
  readonly epoch: number
  readonly values: string[]
  outcome: Outcome | undefined
}

/** Three producers and whoever writes without one; with the transaction log's knowledge kept beside, as if on a disk. */
class Workload {
  readonly random: SeededRandom
  /** Values that must be readable, each whole transaction of them. */
  readonly acknowledged = new Set<string>()
  /** Values of transactions that were aborted, or not decided when the power went. */
  readonly hidden = new Set<string>()
  /** Ends of transactions that the log of transactions has: `id/epoch`. */
  readonly committed = new Set<string>()
  readonly #open = new Map<number, Transaction>()
  readonly #epochs = new Map<number, number>()
  #plain: string[] = []
  #next = 0
  recoveryPoint = 0
  acknowledgedEnd = 0
  /** Whatever another one answers comes after the power cut. */
  current: Partition | undefined

  constructor(random: SeededRandom) {
    this.random = random
  }

  async step(partition: Partition): Promise<void> {
    const id = 1 + Math.floor(this.random.next() * 3)
    const kind = this.random.next()
    if (kind < 0.5) await this.#append(partition, id)
    else if (kind < 0.62) await this.#plainAppend(partition)
    else if (kind < 0.72) await this.#sync(partition)
    else if (kind < 0.9) await this.#end(partition, id, 'commit')
    else if (kind < 0.96) await this.#end(partition, id, 'abort')
    else {
      const plain = this.#plain
      await partition.snapshotProducers()
      if (partition !== this.current) return
      this.recoveryPoint = partition.recoveryPoint
      this.#acknowledge(plain)
    }
  }

  /** As a start does it: what is open is ended by what the transaction log says. */
  async recover(partition: Partition): Promise<void> {
    for (const { producerId, epoch, undecidable } of partition.openTransactions()) {
      expect(undecidable).toBe(false)
      const outcome = this.committed.has(`${producerId}/${epoch}`) ? 'commit' : 'abort'
      await partition.endTransaction({ id: producerId, epoch: epoch + 1 }, outcome)
    }
    await partition.sync()
    for (const [id, epoch] of partition.producerEpochs()) this.#epochs.set(id, epoch)
    for (const { values } of this.#open.values()) for (const value of values) this.hidden.add(value)
    this.#open.clear()
    // Nobody was told of these: they may be there or not.
    this.#plain = []
  }

  #values(): string[] {
    const count = 1 + Math.floor(this.random.next() * 4)
    return Array.from({ length: count }, () => `${this.#next++} ${'.'.repeat(Math.floor(this.random.next() * 60))}`)
  }

  async #append(partition: Partition, id: number): Promise<void> {
    const epoch = this.#epochs.get(id) ?? 0
    const transaction = this.#open.get(id) ?? { epoch, values: [], outcome: undefined }
    this.#open.set(id, transaction)
    const values = this.#values()
    transaction.values.push(...values)
    await partition.append([packRecords(values.map(value => ({ value })))], { producer: { id, epoch } })
  }

  async #plainAppend(partition: Partition): Promise<void> {
    const values = this.#values()
    await partition.append([packRecords(values.map(value => ({ value })))])
    if (partition !== this.current) return
    this.#plain.push(...values)
  }

  async #sync(partition: Partition): Promise<void> {
    const plain = this.#plain
    await partition.sync()
    if (partition !== this.current) return
    this.#acknowledge(plain)
  }

  /** Commit: durable records, then the transaction log, then the marker, which nobody waits for. */
  async #end(partition: Partition, id: number, outcome: Outcome): Promise<void> {
    const transaction = this.#open.get(id)
    if (transaction === undefined) return
    const { epoch, values } = transaction
    if (outcome === 'commit') {
      await this.#sync(partition)
      if (partition !== this.current) return
      this.acknowledgedEnd = Math.max(this.acknowledgedEnd, partition.recoveryPoint)
      this.committed.add(`${id}/${epoch}`)
      for (const value of values) this.acknowledged.add(value)
    } else for (const value of values) this.hidden.add(value)
    this.#open.delete(id)
    this.#epochs.set(id, epoch + 1)
    await partition.endTransaction({ id, epoch: epoch + 1 }, outcome)
  }

  #acknowledge(plain: string[]): void {
    for (const value of plain) this.acknowledged.add(value)
    this.#plain = this.#plain.filter(value => !plain.includes(value))
  }
}

async function readCommitted(partition: Partition): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (let offset = partition.logStartOffset; offset < partition.lastStableOffset; ) {
    try {
      const read = await partition.read(offset, 300, 'read_committed')
      for (const records of read.batches) {
        for (let i = 0; i < records.count; i++) {
          const value = records.value(i)!.toString()
          expect(found.has(value), `twice: ${value}`).toBe(false)
          found.set(value, records.offset(i))
        }
      }
      expect(read.nextOffset).toBeGreaterThan(offset)
      offset = read.nextOffset
    } catch (error) {
      const { code, details } = error as { code?: string; details?: { nextOffset: number } }
      if (code !== 'CORRUPT_MESSAGE') throw error
      offset = details!.nextOffset
    }
  }
  return found
}

async function run(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const workload = new Workload(random)
  const settings = { ...SETTINGS, segmentBytes: 400 + Math.floor(random.next() * 3000), indexIntervalBytes: 200 }
  let files = new MemoryFiles(random)
  await files.mkdir(DIRECTORY)
  for (const directory of ['/d', '/']) await files.syncDirectory(directory)
  const offsets = new Map<string, number>()
  for (let round = 0; round < ROUNDS; round++) {
    const { recoveryPoint, acknowledgedEnd } = workload
    const partition = await openPartition(DIRECTORY, { files, settings, recoveryPoint, acknowledgedEnd })
    workload.current = partition
    await workload.recover(partition)
    const found = await readCommitted(partition)
    for (const value of workload.acknowledged) expect(found.has(value), `lost: ${value}`).toBe(true)
    for (const value of workload.hidden) expect(found.has(value), `visible: ${value}`).toBe(false)
    for (const [value, offset] of offsets) expect(found.get(value), `renumbered: ${value}`).toBe(offset)
    for (const value of workload.acknowledged) offsets.set(value, found.get(value)!)
    // The last step is under way when the power goes.
    for (let step = Math.floor(random.next() * STEPS); step > 0; step--) await workload.step(partition)
    const last = workload.step(partition)
    last.catch(() => undefined)
    for (let turns = Math.floor(random.next() * 40); turns > 0; turns--) await Promise.resolve()
    workload.current = undefined
    files = files.powerCut()
  }
}

test(`after power cuts everything acknowledged is there and nothing aborted or undecided is visible, ${SEEDS} seeds`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await run(seed).catch(error => {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
    })
  }
})
