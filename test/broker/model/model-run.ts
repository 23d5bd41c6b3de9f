import { expect } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { ManualClock, type PackedRecords, packRecords, SeededRandom } from '../../../base/index.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { FileCache } from '../../../broker/file-cache.ts'
import type { Partition } from '../../../broker/partition.ts'
import { openCleaner } from '../../support/cleaner.ts'
import { openPartition, SETTINGS } from '../../support/golden.ts'
import type { Step } from './commands.ts'
import { type Entry, PlainPartition } from './plain-partition.ts'

const DIRECTORY = '/d/log-0'

/** A partition on a disk in memory beside its model; each step is done to both and compared. */
export class ModelRun {
  readonly #model = new PlainPartition()
  readonly #compacts: boolean
  readonly #clock = new ManualClock()
  #disk: MemoryFiles
  #files: FaultyFiles
  #cache: FileCache
  #life = { over: false }
  #partition!: Partition
  /** What the recovery point file would say. */
  #point = 0
  #values = 0
  /** A power cut left a hole that no reader may cross: the model says nothing about what comes then. */
  #over = false

  static async open(seed: number, compacts: boolean): Promise<ModelRun> {
    const run = new ModelRun(seed, compacts)
    await run.#disk.mkdir('/d')
    await run.#disk.syncDirectory('/')
    await run.#open({ clean: false })
    // The folder is its topic's business.
    await run.#disk.syncDirectory('/d')
    return run
  }

  private constructor(seed: number, compacts: boolean) {
    this.#compacts = compacts
    this.#disk = new MemoryFiles(new SeededRandom(seed), { clock: this.#clock })
    this.#files = new FaultyFiles(this.#disk)
    this.#cache = new FileCache(this.#files, 8)
  }

  async take(step: Step): Promise<void> {
    if (this.#over) return
    await this.#do(step)
    if (!this.#over) this.#compareEnds()
  }

  /** Everything once more, behind a close in good order. */
  async finish(): Promise<void> {
    if (this.#over) return
    await this.#do({ kind: 'close' })
    this.#compareEnds()
    for (const committed of [false, true]) await this.#readAll(committed)
  }

  async #do(step: Step): Promise<void> {
    const model = this.#model
    if (step.kind === 'append') await this.#append(step)
    else if (step.kind === 'stale') await this.#appendStale(step.producer)
    else if (step.kind === 'end') await this.#end(step.producer, step.outcome)
    else if (step.kind === 'sync') {
      await this.#partition.sync()
      model.highWatermark = model.next
    } else if (step.kind === 'read') await this.#read(this.#place(step.from), step.committed, step.bytesMax)
    else if (step.kind === 'offsetForTime') await this.#offsetForTime(step.at)
    else if (step.kind === 'raiseStart') model.start = await this.#partition.raiseStart(this.#stable(step.to))
    else if (step.kind === 'deleteBefore') await this.#deleteBefore(this.#stable(step.to))
    else if (step.kind === 'compact') await this.#compact()
    else if (step.kind === 'advance') await this.#clock.advance(step.ms)
    else if (step.kind === 'point') {
      await this.#partition.snapshotProducers()
      model.highWatermark = model.next
      this.#point = this.#partition.recoveryPoint
    } else if (step.kind === 'close' || step.kind === 'kill') await this.#restart(step.kind === 'close')
    else await this.#cutPower(step.endIsKnown)
  }

  /** A new process over the same disk: the one before does nothing any more. */
  async #open(how: { readonly clean: boolean; readonly acknowledgedEnd?: number }): Promise<void> {
    this.#life.over = true
    const life = { over: false }
    this.#life = life
    this.#files = new FaultyFiles(this.#disk, () => {
      if (life.over) throw Object.assign(new Error('EIO: this process was killed'), { code: 'EIO' })
    })
    this.#cache = new FileCache(this.#files, 8)
    this.#partition = await openPartition(DIRECTORY, {
      ...how,
      files: this.#files,
      cache: this.#cache,
      clock: this.#clock,
      settings: {
        ...SETTINGS,
        segmentBytes: 700,
        segmentMs: 900_000,
        indexIntervalBytes: 100,
        compacts: this.#compacts,
      },
      recoveryPoint: this.#point,
      startOffset: this.#model.start,
    })
  }

  async #restart(clean: boolean): Promise<void> {
    if (clean) await this.#partition.close()
    await this.#open({ clean })
    this.#model.highWatermark = this.#model.next
    if (clean) this.#point = this.#model.next
  }

  async #append({ producer, sizes, aheadMs }: Extract<Step, { kind: 'append' }>): Promise<void> {
    const model = this.#model
    const records = sizes.map(size => {
      const number = this.#values++
      const timestamp = this.#clock.now() + aheadMs + (number % 3)
      return { key: `k${(number * 7 + size) % 4}`, value: `${number} ${'.'.repeat(size)}`, timestamp }
    })
    const epoch = model.epochOf(producer)
    const options = producer === 0 ? {} : { producer: { id: producer, epoch } }
    const { baseOffset, lastOffset } = await this.#partition.append([packRecords(records)], options)
    expect([baseOffset, lastOffset]).toEqual([model.next, model.next + records.length - 1])
    model.append(producer, records)
  }

  /** Whoever has an older epoch is refused. */
  async #appendStale(producer: number): Promise<void> {
    const epoch = this.#model.epochOf(producer)
    if (epoch === 0 || !this.#partition.producerEpochs().has(producer)) return
    const stale = { producer: { id: producer, epoch: epoch - 1 } }
    const refused = this.#partition.append([packRecords([{ key: 'k', value: 'stale' }])], stale)
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  }

  async #end(producer: number, outcome: 'commit' | 'abort'): Promise<void> {
    const model = this.#model
    if (!model.open().some(([open]) => open === producer)) return
    const epoch = model.epochOf(producer) + 1
    await this.#partition.endTransaction({ id: producer, epoch }, outcome)
    model.end(producer, outcome)
  }

  async #read(offset: number, committed: boolean, bytesMax: number): Promise<number> {
    const model = this.#model
    const isolation = committed ? 'read_committed' : 'read_uncommitted'
    const end = committed ? model.lastStable : model.highWatermark
    const { batches, nextOffset } = await this.#partition.read(offset, bytesMax, isolation)
    if (offset < end) expect(nextOffset).toBeGreaterThan(offset)
    expect(nextOffset).toBeLessThanOrEqual(Math.max(end, offset))
    const visible = model.visible(offset, nextOffset, committed)
    expect(batches.flatMap(plain)).toEqual(visible.map(entryText))
    return nextOffset
  }

  async #readAll(committed: boolean): Promise<void> {
    const end = committed ? this.#model.lastStable : this.#model.highWatermark
    for (let offset = this.#model.start; offset < end; ) offset = await this.#read(offset, committed, 1000)
  }

  async #offsetForTime(at: number): Promise<void> {
    const records = this.#model.visible(0, this.#model.highWatermark, false)
    const times = records.map(e => e.timestamp).sort((a, b) => a - b)
    const timestamp = (times[Math.floor(at * times.length)] ?? this.#clock.now()) + (at < 0.1 ? 1 : 0)
    const expected = records.find(e => e.timestamp >= timestamp)?.offset
    expect(await this.#partition.offsetForTime(timestamp)).toBe(expected)
  }

  async #deleteBefore(offset: number): Promise<void> {
    const start = await this.#partition.deleteBefore(offset)
    expect(start).toBeGreaterThanOrEqual(this.#model.start)
    expect(start).toBeLessThanOrEqual(Math.max(offset, this.#model.start))
    this.#model.start = start
  }

  async #compact(): Promise<void> {
    if (!this.#compacts) return
    const { next } = this.#model
    const one = { files: this.#files, clock: this.#clock, directory: '/d', cache: this.#cache }
    const cleaner = await openCleaner(this.#partition, one)
    while (await cleaner.cleanDirtiest()) {}
    await cleaner.stop()
    expect(this.#partition.nextOffset).toBe(next)
    await this.#forgetWhatMayGo()
  }

  /** What compaction took away has to be what it may take away. */
  async #forgetWhatMayGo(): Promise<void> {
    const model = this.#model
    const there = new Set<number>()
    for (let offset = model.start; offset < model.highWatermark; ) {
      const { batches, nextOffset } = await this.#partition.read(offset, 1000, 'read_uncommitted')
      for (const batch of batches) for (let i = 0; i < batch.count; i++) there.add(batch.offset(i))
      offset = nextOffset
    }
    const gone = model.visible(0, model.highWatermark, false).filter(e => !there.has(e.offset))
    for (const entry of gone) expect([entryText(entry), model.mayGo(entry)]).toEqual([entryText(entry), true])
    model.entries = model.entries.filter(e => !gone.includes(e))
  }

  /** What was synced is there; of the rest a beginning, or less than that with holes that are named. */
  async #cutPower(endIsKnown: boolean): Promise<void> {
    const model = this.#model
    const synced = model.highWatermark
    this.#disk = this.#disk.powerCut()
    await this.#open({ clean: false, ...(endIsKnown ? { acknowledgedEnd: synced } : {}) })
    const end = this.#partition.nextOffset
    expect(end).toBeGreaterThanOrEqual(synced)
    expect(end).toBeLessThanOrEqual(model.next)
    this.#over = this.#partition.recovered.segments.some(({ holes }) => holes.length > 0)
    if (this.#over) {
      model.highWatermark = synced
      for (const { firstOffset } of this.#partition.recovered.segments.flatMap(({ holes }) => holes))
        expect(firstOffset).toBeGreaterThanOrEqual(synced)
      if (endIsKnown) expect(model.entries.some(e => e.offset >= synced && e.producer === 0)).toBe(true)
      return
    }
    model.cut(end)
    model.highWatermark = end
  }

  #compareEnds(): void {
    const [model, partition] = [this.#model, this.#partition]
    expect({
      start: partition.logStartOffset,
      next: partition.nextOffset,
      highWatermark: partition.highWatermark,
      lastStable: partition.lastStableOffset,
      open: partition.openTransactions().map(t => [t.producerId, t.firstOffset]),
    }).toEqual({
      start: model.start,
      next: model.next,
      highWatermark: model.highWatermark,
      lastStable: model.lastStable,
      open: model.open(),
    })
  }

  #place(fraction: number): number {
    const { start, highWatermark } = this.#model
    return start + Math.floor(fraction * (highWatermark - start + 1 - 1e-9))
  }

  /** A place that retention and deletions may go to. */
  #stable(fraction: number): number {
    const { start, lastStable } = this.#model
    return Math.max(start, start + Math.floor(fraction * (lastStable - start)))
  }
}

function entryText({ offset, key, value, timestamp }: Entry): string {
  return `${offset} ${timestamp} ${key} ${value}`
}

function plain(records: PackedRecords): string[] {
  return Array.from({ length: records.count }, (_, i) => {
    const [key, value] = [records.key(i)?.toString(), records.value(i)?.toString()]
    return `${records.offset(i)} ${records.timestamp(i)} ${key} ${value}`
  })
}
