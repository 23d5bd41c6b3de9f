import type { OptionSpecs } from '../api/index.ts'
import { expectation } from './option-values.ts'

/** One option in words, for `--help`, docs and REST. */
export interface OptionRow {
  readonly name: string
  readonly aliases: readonly string[]
  readonly type: string
  readonly required: boolean
  /** As one would write it; undefined where there is none. */
  readonly default: string | undefined
  /** What it takes, in words. */
  readonly takes: string
  readonly doc: string
}

/** In the order of declaration. */
export function describeOptions(specs: OptionSpecs): readonly OptionRow[] {
  return Object.entries(specs).map(([name, spec]) => ({
    name,
    aliases: spec.aliases ?? [],
    type: spec.type,
    required: spec.default === undefined,
    default: (spec.default ?? null) === null || spec.type === 'family' ? undefined : String(spec.default),
    takes: expectation(spec),
    doc: spec.doc,
  }))
}
