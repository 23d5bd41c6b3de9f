import { errorCode, errorMessage, KtsError, ManualClock, packRecords, SeededRandom } from '../../../base/index.ts'
import type { Broker } from '../../../broker/index.ts'
import { openAsNewProcess } from '../../support/embedded.ts'
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts'
import { audit, digestOf } from './audit.ts'
import { groupOf } from './events.ts'
import { diskOf, type Image, imageOf } from './image.ts'
import { Ledger } from './ledger.ts'
import { foundRecords, makeRecords } from './records.ts'
import { ensureTopics, runWorkload, TOPICS, WRITERS } from './workload.ts'

export const DIRECTORY = '/data'

/** A data directory at one moment, with what a broker shows of it. */
export interface Stage {
  readonly image: Image
  readonly now: number
  readonly shown: Shown
}

/** What readers get of a data directory, damage stepped over as its error says. */
export interface Shown {
  /** Digest of each committed record by `place offset`. */
  readonly records: ReadonlyMap<string, string>
  /** Named as damaged. */
  readonly named: readonly { readonly place: string; readonly firstOffset: number; readonly lastOffset: number }[]
  /** Checkpoints and group offsets, by their names. */
  readonly positions: ReadonlyMap<string, string>
  /** Offset that a new record got, by place. */
  readonly appendedAt: ReadonlyMap<string, number>
  /** Where the log begins, by place. */
  readonly starts: ReadonlyMap<string, number>
  /** Why it does not open. */
  readonly refused: KtsError | undefined
  readonly log: readonly LogLine[]
}

/**
 * Three stages of one history: `killed` with transactions open, `closed` in good order some time later, and `later` still,
 * so that a file of one stage is from the past or from the future in another.
 */
export async function makeStages(seed: number): Promise<{ killed: Stage; closed: Stage; later: Stage }> {
  const ledger = new Ledger()
  const random = new SeededRandom(seed)
  const clock = new ManualClock()
  let image: Image = new Map()
  const live = async (close: boolean): Promise<Stage> => {
    const files = await diskOf(image, clock)
    const broker = await openAsNewProcess({ files, clock })
    await ensureTopics(broker, TOPICS)
    const next = (writer: string) => ledger.next(writer)
    const failure = await runWorkload({
      broker,
      random,
      tell: ledger.tell,
      topics: TOPICS,
      transactions: 12,
      next,
      advance: ms => clock.advance(ms),
    })
    if (failure !== undefined) throw failure
    if (close) await broker.close()
    else await leaveOpen(broker, ledger)
    image = await imageOf(files, DIRECTORY)
    const again = await openAsNewProcess({ files: await diskOf(image, clock), clock })
    const problems = await audit(again, ledger, TOPICS)
    if (problems.length > 0) throw new Error(`undamaged, and yet: ${problems.join('; ')}`)
    return { image, now: clock.now(), shown: await lookAt(image, clock.now()) }
  }
  return { killed: await live(false), closed: await live(true), later: await live(true) }
}

/** Somebody is in the middle of something. */
async function leaveOpen(broker: Broker, ledger: Ledger): Promise<void> {
  const transaction = `open.${ledger.next('open')}`
  ledger.tell({ kind: 'begin', transaction, atomic: true })
  const open = await (await broker.writer('open')).begin()
  for (const { name: topic } of TOPICS) {
    ledger.tell({ kind: 'add', transaction, topic, partition: 0, count: 3 })
    for (let i = 0; i < 3; i++) await open.append(topic, 0, makeRecords(transaction, topic, 0, i, i + 1))
  }
}

/** Opens the directory as a new process, and takes what it gives. */
export async function lookAt(image: Image, now: number): Promise<Shown> {
  const clock = new ManualClock(now)
  const log = recordingLogger()
  const shown = {
    records: new Map<string, string>(),
    named: [] as { place: string; firstOffset: number; lastOffset: number }[],
    positions: new Map<string, string>(),
    appendedAt: new Map<string, number>(),
    starts: new Map<string, number>(),
    refused: undefined as KtsError | undefined,
    log: log.lines,
  }
  try {
    const broker = await openAsNewProcess({ files: await diskOf(image, clock), clock, log })
    for (const { name, partitions } of TOPICS) {
      if ((await broker.topic(name)) === undefined) continue
      for (let partition = 0; partition < partitions; partition++) await salvage(broker, name, partition, shown)
    }
    for (const writer of [...WRITERS, 'open']) {
      for (const { partition, value } of await broker.checkpoints(writer))
        shown.positions.set(`${writer} ${JSON.stringify(partition)}`, JSON.stringify(value))
      for (const { topic, partition, offset, metadata } of await broker.committed(groupOf(writer)))
        shown.positions.set(`${groupOf(writer)} ${topic}-${partition}`, `${offset} ${metadata}`)
    }
    await broker.close()
  } catch (error) {
    if (!(error instanceof KtsError)) throw error
    shown.refused = error
  }
  return shown
}

type Salvaged = {
  records: Map<string, string>
  named: { place: string; firstOffset: number; lastOffset: number }[]
  appendedAt: Map<string, number>
  starts: Map<string, number>
}

async function salvage(broker: Broker, topic: string, partition: number, shown: Salvaged): Promise<void> {
  const place = `${topic}-${partition}`
  const before = await broker.partition(topic, partition)
  let offset = before.logStartOffset
  shown.starts.set(place, offset)
  while (offset < before.lastStableOffset) {
    try {
      const { batches } = await broker.read(topic, partition, offset, {
        isolation: 'read_committed',
        bytesMax: 1 << 16,
        waitMs: 0,
      })
      if (batches.length === 0) break
      for (const { records } of batches) {
        for (const found of foundRecords(topic, partition, records))
          shown.records.set(`${place} ${found.offset}`, digestOf(found))
      }
      offset = batches.at(-1)!.nextOffset
    } catch (error) {
      if (errorCode(error) !== 'CORRUPT_MESSAGE' || !(error instanceof KtsError)) throw error
      const { firstOffset, lastOffset, nextOffset } = error.details as Record<string, number>
      if (!(nextOffset! > offset)) throw new Error(`${place}: damage at ${offset} is named as ${errorMessage(error)}`)
      shown.named.push({ place, firstOffset: firstOffset!, lastOffset: lastOffset! })
      offset = nextOffset!
    }
  }
  const transaction = await (await broker.writer('after')).begin()
  await transaction.append(topic, partition, packRecords([{ key: 'after', value: 'one more' }]))
  await transaction.commit()
  const { batches } = await broker.read(topic, partition, before.highWatermark, {
    isolation: 'read_committed',
    bytesMax: 1 << 16,
    waitMs: 0,
  })
  shown.appendedAt.set(place, batches[0]?.records.offset(0) ?? -1)
}
