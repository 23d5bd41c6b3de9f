import type { Clock } from '../../base/index.ts'
import type { OptionProblem, OptionSpecs, OptionValues } from './options.ts'
import type { ConnectRecord } from './record.ts'

/** A single message transform, as a value. */
export interface TransformDefinition<S extends OptionSpecs = OptionSpecs> {
  readonly kind: 'transform'
  /** `Parse`, `ExtractField`, ... */
  readonly name: string
  readonly aliases: readonly string[]
  readonly doc: string
  readonly options: S
  /** True when values leave it with structure, so that a topic of raw bytes becomes JSON by default. */
  readonly structured: boolean
  /** As of a connector: which options do not fit together. Pure. */
  problems?(options: OptionValues<S>): readonly OptionProblem[]
  open(options: OptionValues<S>, context: TransformContext): Transform
}

/**
 * One record in, the same one (changed in place or not), another, or undefined to drop it. Synchronous. Generic, so that
 * none can lose a member it does not know. Throws RecordError for a record it cannot take.
 */
export type Transform = <R extends ConnectRecord>(record: R) => R | undefined

export interface TransformContext {
  readonly clock: Clock
  /** Counted in status under the connector. */
  count(name: string, by?: number): void
}

export function defineTransform<const S extends OptionSpecs>(transform: TransformDefinition<S>): TransformDefinition {
  return transform as unknown as TransformDefinition
}
