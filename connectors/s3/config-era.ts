import type { JsonObject, JsonValue } from '../../runtime/api/index.ts'
import type { Rows } from '../formats/rows.ts'
import { isOffset, type ObjectPlan, planFromJson, planToJson } from './object-plan.ts'
import { configFromJson, configToJson, type ObjectRules, type RecordedConfig } from './recorded-config.ts'
import { FolderNamer } from './runs.ts'

/** What has been decided about a record: it belongs to a plan's object, or (no plan) is in a durable one. */
export interface Claim {
  readonly era: ConfigEra
  readonly plan: ObjectPlan | undefined
}

/** What a partition's durable state says of one configuration. */
export interface RecordedEra {
  readonly config: RecordedConfig
  readonly plans: readonly ObjectPlan[]
  readonly marks: readonly (readonly [folder: string, offset: number])[]
}

/** Everything that was decided about a partition's records under one configuration and may still be needed. */
export class ConfigEra {
  readonly config: RecordedConfig
  readonly rules: ObjectRules
  /** By folder, each ascending: objects not yet known to be durable. */
  readonly #plans = new Map<string, Claim[]>()
  /** By folder: records below the offset are in durable objects, unless a plan has them. */
  readonly #marks: Map<string, number>
  readonly #durable: Claim = { era: this, plan: undefined }
  readonly #namer: FolderNamer

  constructor({ config, plans, marks }: RecordedEra, rules: ObjectRules, partition: number) {
    this.config = config
    this.rules = rules
    this.#marks = new Map(marks)
    this.#namer = new FolderNamer(rules.partitioner, partition)
    for (const plan of plans) this.add(plan)
  }

  /** For records of which nothing but their durability is known. */
  get durable(): Claim {
    return this.#durable
  }

  get marks(): number {
    return this.#marks.size
  }

  /** The offset from which on nothing has been decided. */
  get end(): number {
    let end = 0
    for (const offset of this.#marks.values()) end = Math.max(end, offset)
    for (const { lastOffset } of this.plans()) end = Math.max(end, lastOffset + 1)
    return end
  }

  *plans(): Generator<ObjectPlan> {
    for (const claims of this.#plans.values()) for (const { plan } of claims) yield plan!
  }

  add(plan: ObjectPlan): void {
    const claims = this.#plans.get(plan.folder)
    const claim = { era: this, plan }
    if (claims === undefined) this.#plans.set(plan.folder, [claim])
    else claims.push(claim)
  }

  /** The plan's object is durable. */
  done(plan: ObjectPlan): void {
    this.remove(plan)
    this.#marks.set(plan.folder, Math.max(this.#marks.get(plan.folder) ?? 0, plan.lastOffset + 1))
  }

  remove(plan: ObjectPlan): void {
    const rest = (this.#plans.get(plan.folder) ?? []).filter(claim => claim.plan !== plan)
    if (rest.length > 0) this.#plans.set(plan.folder, rest)
    else this.#plans.delete(plan.folder)
  }

  /** Undefined when this configuration has decided nothing about the row. */
  claimOf(rows: Rows, i: number): Claim | undefined {
    const folder = this.#namer.folderOf(rows, i)
    if (folder === undefined) return undefined
    const offset = rows.offset(i)
    for (const claim of this.#plans.get(folder) ?? []) {
      if (offset >= claim.plan!.firstOffset && offset <= claim.plan!.lastOffset) return claim
    }
    return offset < (this.#marks.get(folder) ?? 0) ? this.#durable : undefined
  }

  /** Forgets marks that say no more than "everything below `offset` is durable". */
  prune(offset: number): void {
    for (const [folder, mark] of this.#marks) if (mark <= offset) this.#marks.delete(folder)
  }

  /** Nothing is left that a later run would have to know. */
  get isOver(): boolean {
    return this.#plans.size === 0 && this.#marks.size === 0
  }

  toJson(): JsonObject {
    const marks = [...this.#marks].map(([folder, offset]) => [folder, offset])
    return { config: configToJson(this.config), plans: [...this.plans()].map(planToJson), marks }
  }
}

/** What ConfigEra.toJson gave; undefined for anything else. */
export function eraFromJson(json: JsonValue): RecordedEra | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const { config: recorded, plans, marks } = json as JsonObject
  const config = configFromJson(recorded)
  if (config === undefined || !Array.isArray(plans) || !Array.isArray(marks)) return undefined
  const found = plans.map(planFromJson).filter(plan => plan !== undefined)
  if (found.length < plans.length || !marks.every(isMark)) return undefined
  return { config, plans: found.sort((a, b) => a.firstOffset - b.firstOffset), marks }
}

function isMark(json: JsonValue): json is [string, number] {
  return Array.isArray(json) && json.length === 2 && typeof json[0] === 'string' && isOffset(json[1])
}
