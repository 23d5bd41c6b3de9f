import { type JsonObject, KtsError, type Logger, type OpenPartition } from '../../runtime/api/index.ts'
import type { Rows } from '../formats/rows.ts'
import { type Claim, ConfigEra, eraFromJson, type RecordedEra } from './config-era.ts'
import { isOffset, type ObjectPlan } from './object-plan.ts'
import { type ObjectRules, type RecordedConfig, rulesOf, sameConfig } from './recorded-config.ts'

const VERSION = 1

/** A partition's durable state, as it was saved. */
interface Recorded {
  /** The group's offset when this was saved, or one before it. */
  readonly committed: number
  /** Everything below is in durable objects; may be ahead of the committed offset. */
  readonly durable: number
  /** Oldest first. */
  readonly eras: readonly RecordedEra[]
}

/**
 * What has been decided about the records from the committed offset on, over all restarts and edits of the configuration:
 * the plans and marks of each configuration since. Who asks about a record asks the oldest first: a later configuration
 * decided only about what earlier ones had left.
 */
export class PartitionState {
  /** The last is the one that runs. */
  readonly #eras: ConfigEra[]
  /** Of everything below `#durable`. */
  readonly #below: Claim
  #durable: number
  #committed: number
  /** About records from here on nothing had been decided when this was opened. */
  readonly replayEnd: number

  /** `newest`: of the eras, the one under which records were last written. */
  constructor(eras: readonly ConfigEra[], newest: ConfigEra, committed: number, durable: number) {
    this.#eras = [...eras]
    this.#below = newest.durable
    this.#committed = committed
    this.#durable = durable
    this.replayEnd = Math.max(durable, ...eras.map(era => era.end))
  }

  get current(): ConfigEra {
    return this.#eras.at(-1)!
  }

  get marks(): number {
    return this.#eras.reduce((sum, era) => sum + era.marks, 0)
  }

  /** Of the names that an unfinished object may have. */
  get extensions(): readonly string[] {
    return this.#eras.map(era => era.rules.extension)
  }

  *claims(): Generator<{ readonly era: ConfigEra; readonly plan: ObjectPlan }> {
    for (const era of this.#eras) for (const plan of era.plans()) yield { era, plan }
  }

  /** Undefined: nobody has decided about the row, the running configuration may. */
  claimOf(rows: Rows, i: number): Claim | undefined {
    if (rows.offset(i) < this.#durable) return this.#below
    for (const era of this.#eras) {
      const claim = era.claimOf(rows, i)
      if (claim !== undefined) return claim
    }
    return undefined
  }

  /** As JSON, to be saved at once; `durable`: everything below is in durable objects. */
  toSave(durable: number): JsonObject {
    // While records are delivered again, more is known from the last run.
    this.#durable = Math.max(this.#durable, durable)
    for (const era of this.#eras) era.prune(this.#durable)
    const running = this.current
    const eras = this.#eras.filter(era => era === running || !era.isOver)
    this.#eras.splice(0, this.#eras.length, ...eras)
    return { v: VERSION, committed: this.#committed, durable: this.#durable, eras: eras.map(era => era.toJson()) }
  }

  /** As JSON, to be committed together with `offset`. */
  toCommit(offset: number): JsonObject {
    this.#committed = Math.max(this.#committed, offset)
    return this.toSave(offset)
  }
}

/**
 * The state of a partition that a task was given, continued under `config`. Throws POSITION_LOST for a state that is not of
 * this version. Null (nothing saved yet, or by a version without plans) begins one.
 */
export async function openState(
  partition: OpenPartition,
  config: RecordedConfig,
  rules: ObjectRules,
  log: Logger,
): Promise<PartitionState> {
  const recorded = recordedFor(partition, log)
  const eras: ConfigEra[] = []
  for (const found of recorded.eras) {
    tellWhatIsOutOfReach(partition, found, config, log)
    const era = { ...found, plans: found.plans.filter(plan => plan.lastOffset >= partition.offset) }
    const recordedRules = sameConfig(era.config, config) ? rules : await rulesOf(era.config)
    eras.push(new ConfigEra(era, recordedRules, partition.partition))
  }
  const newest = eras.at(-1)
  const running =
    newest !== undefined && sameConfig(newest.config, config)
      ? newest
      : new ConfigEra({ config, plans: [], marks: [] }, rules, partition.partition)
  if (running !== newest) eras.push(running)
  return new PartitionState(eras, newest ?? running, Math.max(partition.offset, recorded.committed), recorded.durable)
}

function tellWhatIsOutOfReach(
  { topic, partition, offset }: OpenPartition,
  era: RecordedEra,
  config: RecordedConfig,
  log: Logger,
): void {
  if (era.config.place !== config.place && era.plans.length > 0) {
    const facts = { topic, partition, before: era.config.place, keys: era.plans.map(plan => plan.key) }
    log.warn(facts, 'the target was changed while objects were being written: they may stand in the old one too')
  }
  // Never by our own commits: somebody moved the offset forward.
  const passed = era.plans.filter(plan => plan.lastOffset < offset)
  if (passed.length > 0) {
    const facts = { topic, partition, offset, keys: passed.map(plan => plan.key) }
    log.warn(facts, 'the committed offset was moved past objects that may not have been written')
  }
}

function recordedFor({ topic, partition, offset, state }: OpenPartition, log: Logger): Recorded {
  const fresh: Recorded = { committed: offset, durable: 0, eras: [] }
  if (state === null) return fresh
  const recorded = fromJson(state)
  if (recorded === undefined) {
    throw new KtsError(
      'POSITION_LOST',
      `s3 sink: the state of ${topic}-${partition} is not one of this version; run the version that wrote it, or give the sink another name to write everything anew`,
    )
  }
  if (offset >= recorded.committed) return recorded
  // Only a hand moves it back, and it does so to have the records again.
  const facts = { topic, partition, offset, committed: recorded.committed }
  log.warn(facts, 'the committed offset was moved back: everything from there on is written again')
  return fresh
}

function fromJson({ v, committed, durable, eras }: JsonObject): Recorded | undefined {
  if (v !== VERSION || !isOffset(committed) || !isOffset(durable) || !Array.isArray(eras)) return undefined
  const found = eras.map(eraFromJson).filter(era => era !== undefined)
  return found.length < eras.length ? undefined : { committed, durable, eras: found }
}
