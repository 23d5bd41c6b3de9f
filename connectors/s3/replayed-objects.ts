import type { ConfigEra } from './config-era.ts'
import type { ObjectPlan } from './object-plan.ts'
import { OpenObject } from './open-object.ts'
import type { ObjectSettings } from './partition-objects.ts'
import type { PartitionState } from './partition-state.ts'

interface Replayed {
  readonly era: ConfigEra
  readonly plan: ObjectPlan
  /** Begun with its first record. */
  object: OpenObject | undefined
}

/**
 * Objects that an earlier run had planned and may or may not have written: they are written again, whole, under the same
 * key, of the records that the plan names. No rule of rotation ends them, and they end where the plan says.
 */
export class ReplayedObjects {
  readonly #settings: ObjectSettings
  readonly #replayed = new Map<ObjectPlan, Replayed>()

  constructor(state: PartitionState, settings: ObjectSettings) {
    this.#settings = settings
    for (const { era, plan } of state.claims()) this.#replayed.set(plan, { era, plan, object: undefined })
  }

  get open(): readonly OpenObject[] {
    return [...this.#replayed.values()].map(({ object }) => object).filter(object => object !== undefined)
  }

  /** Of the oldest that is not finished; infinite when all are. */
  get firstOffset(): number {
    let first = Number.POSITIVE_INFINITY
    for (const { firstOffset } of this.#replayed.keys()) first = Math.min(first, firstOffset)
    return first
  }

  objectOf(plan: ObjectPlan, era: ConfigEra): OpenObject {
    const replayed = this.#replayed.get(plan)!
    replayed.object ??= this.#begin(plan, era)
    return replayed.object
  }

  /** Ends those whose last record lies below `offset`, and answers them. */
  finishBelow(offset: number): readonly OpenObject[] {
    const finished: OpenObject[] = []
    for (const { plan, era } of this.#replayed.values()) {
      if (plan.lastOffset >= offset) continue
      const object = this.objectOf(plan, era)
      this.#replayed.delete(plan)
      object.finish()
      object.allowCommit()
      if (object.lines !== plan.count) this.#settings.changed(plan, object.lines)
      finished.push(object)
    }
    return finished
  }

  #begin(plan: ObjectPlan, era: ConfigEra): OpenObject {
    const { store, pool, clock } = this.#settings
    const object = new OpenObject(plan, era, store.create(plan.key), pool, clock.monotonic())
    object.plan = plan
    return object
  }
}
