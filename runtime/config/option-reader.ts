import type { FamilySpec, OptionProblem, OptionSpec, OptionSpecs } from '../api/index.ts'
import { type FlatOption, shownName } from './flat-options.ts'
import { expectation, type OptionValue, parseOption, type ValueContext } from './option-values.ts'
import { formatPlace, type Problems } from './problems.ts'
import { didYouMean } from './suggest.ts'
import type { Place } from './types.ts'

export interface ReadOptions {
  /** Every declared option; undefined where it is optional and not given, or has a problem. */
  readonly values: Readonly<Record<string, OptionValue>>
  /** What was given, by declared name. */
  readonly given: ReadonlyMap<string, FlatOption>
  /** No declared option has a problem or is missing: the values are what somebody meant. */
  readonly sound: boolean
}

export interface OptionScope {
  readonly specs: OptionSpecs
  /** Dotted path of the map that holds the options. */
  readonly path: string
  /** Where that map is, for what is missing in it. */
  readonly place: Place
  /** `an option of sink s3`. */
  readonly title: string
  /** Names that are at home elsewhere, with where: `retention.ms` → `topics.<topic>`. */
  readonly elsewhere: ReadonlyMap<string, string>
  /** Names that are read by someone else in the same map; known for suggestions. */
  readonly structural?: readonly string[]
}

/** Reads declared options out of what was given; every problem is reported. */
export function readOptions(
  options: readonly FlatOption[],
  scope: OptionScope,
  context: ValueContext,
  problems: Problems,
): ReadOptions {
  const names = spellings(scope.specs)
  const given = new Map<string, FlatOption>()
  const families = new Map<string, FlatOption[]>()
  for (const option of options) {
    const name = names.get(option.key)
    const family = name === undefined ? familyOf(option.key, scope.specs) : undefined
    const path = `${scope.path}.${shownName(option.key)}`
    if (family !== undefined) families.set(family, [...(families.get(family) ?? []), option])
    else if (name === undefined) reportUnknown(option, names, scope, problems)
    else if (!given.has(name)) given.set(name, option)
    else replaceOrReport(given, name, option, path, problems)
  }
  const before = problems.count
  const values: Record<string, OptionValue> = Object.create(null)
  for (const [name, spec] of Object.entries(scope.specs)) {
    values[name] =
      spec.type === 'family'
        ? readFamily(spec, families.get(name) ?? [], scope, context, problems)
        : readValue(name, spec, given.get(name), scope, context, problems)
  }
  return { values, given, sound: problems.count === before }
}

/** Tells what the owner of the options finds in them, at the option's place, or at the map's where it was not given. */
export function reportMisfits(
  misfits: readonly OptionProblem[],
  given: ReadOptions['given'],
  { path, place }: Pick<OptionScope, 'path' | 'place'>,
  problems: Problems,
): void {
  for (const { option: name, message } of misfits) {
    const option = given.get(name)
    problems.add(option?.value.place ?? place, `${path}.${option?.key ?? name}`, message)
  }
}

/** Every spelling of every option: its name, its aliases, and the prefix of a `.class`. Declared names go first. */
export function spellings(specs: OptionSpecs): ReadonlyMap<string, string> {
  const single = Object.entries(specs).filter(([, spec]) => spec.type !== 'family')
  const names = new Map(single.map(([name]) => [name, name]))
  const add = (spelling: string, name: string) => names.has(spelling) || names.set(spelling, name)
  for (const [name, spec] of Object.entries(specs)) for (const alias of spec.aliases ?? []) add(alias, name)
  for (const [spelling, name] of [...names]) {
    if (spelling.endsWith('.class')) add(spelling.slice(0, -'.class'.length), name)
  }
  return names
}

function familyOf(key: string, specs: OptionSpecs): string | undefined {
  const fits = (spec: OptionSpec) => spec.type === 'family' && new RegExp(`^(?:${spec.pattern})$`, 's').test(key)
  return Object.keys(specs).find(name => fits(specs[name]!))
}

/** By name, in the order in which they were given. */
function readFamily(
  spec: FamilySpec,
  options: readonly FlatOption[],
  scope: OptionScope,
  context: ValueContext,
  problems: Problems,
): OptionValue {
  const values: Record<string, string | readonly string[]> = Object.create(null)
  for (const option of options) {
    const parsed = parseOption(option, spec.member, context)
    if ('value' in parsed) values[option.key] = parsed.value as string | readonly string[]
    else problems.add(option.value.place, `${scope.path}.${shownName(option.key)}`, parsed.problem)
  }
  return values
}

function readValue(
  name: string,
  spec: OptionSpec,
  option: FlatOption | undefined,
  scope: OptionScope,
  context: ValueContext,
  problems: Problems,
): OptionValue {
  if (option === undefined) {
    if (spec.default === undefined)
      problems.add(scope.place, `${scope.path}.${name}`, `expected ${expectation(spec)}, got nothing; it is required`)
    return spec.default ?? undefined
  }
  const parsed = parseOption(option, spec, context)
  if ('value' in parsed) return parsed.value
  problems.add(option.value.place, `${scope.path}.${option.key}`, parsed.problem)
  return spec.default ?? undefined
}

/** Two spellings of one option: what stands here goes before what was merged in, otherwise both places are named. */
function replaceOrReport(
  given: Map<string, FlatOption>,
  name: string,
  option: FlatOption,
  path: string,
  problems: Problems,
): void {
  const other = given.get(name)!
  if (option.rank < other.rank) given.set(name, option)
  else if (option.rank === other.rank) {
    const also = `got it also as ${shownName(other.key)} at ${formatPlace(other.place)}`
    problems.add(option.place, path, `expected the option once, ${also}`)
  }
}

function reportUnknown(
  { key, place }: FlatOption,
  names: ReadonlyMap<string, string>,
  scope: OptionScope,
  problems: Problems,
): void {
  const { specs, path, elsewhere, title, structural = [] } = scope
  // An unquoted secret such as {abc} is a map to YAML: its text became a name.
  const secret = [...names].find(([known, name]) => key.startsWith(`${known}.`) && specs[name]?.type === 'secret')?.[0]
  const home = elsewhere.get(key)
  if (secret !== undefined)
    problems.add(place, `${path}.${secret}`, 'expected a secret text, got a map; put it in quotes')
  else if (home !== undefined)
    problems.add(place, `${path}.${key}`, `expected ${title}, got one of ${home}; move it there`)
  else {
    const families = Object.keys(specs).filter(name => specs[name]!.type === 'family')
    const shown = shownName(key)
    const hint = didYouMean(shown, [...names.keys(), ...families, ...structural])
    problems.add(place, `${path}.${shown}`, `expected ${title}, got ${shown}${hint}`)
  }
}
