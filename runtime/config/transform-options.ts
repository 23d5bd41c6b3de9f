import { type FlatOption, flatten } from './flat-options.ts'
import { describeNode, type ListNode } from './nodes.ts'
import { type ReadOptions, readOptions, reportMisfits } from './option-reader.ts'
import type { ValueContext } from './option-values.ts'
import { type Problems, quoted } from './problems.ts'
import { didYouMean } from './suggest.ts'
import type { Catalogue, Place, TransformConfig } from './types.ts'

/** A transform with what was given for it. */
export interface ReadTransform {
  readonly config: TransformConfig
  readonly given: ReadOptions['given']
  /** Its type as written. */
  readonly type: string
}

interface Step {
  readonly name: string
  readonly path: string
  readonly place: Place
  readonly options: readonly FlatOption[]
}

/**
 * `transforms` in both forms: a YAML list of maps (`[{ type: Parse, format: nginx }]`), or Connect's list of names with
 * `transforms.<name>.type` and options beside it.
 */
export function readTransforms(
  options: readonly FlatOption[],
  path: string,
  catalogue: Catalogue,
  context: ValueContext,
  problems: Problems,
): readonly ReadTransform[] {
  const list = options.find(option => option.key === 'transforms')
  const dotted = options.filter(option => option.key.startsWith('transforms.'))
  const isMaps = list?.value.kind === 'list' && list.value.items.some(item => item.kind === 'map')
  const steps = isMaps
    ? stepsOfMaps(list.value as ListNode, path, problems)
    : stepsOfNames(list, dotted, path, context, problems)
  const unlisted = dotted.filter(o => isMaps || !steps.some(s => o.key.startsWith(`transforms.${s.name}.`)))
  for (const option of unlisted) {
    const message = 'expected its transform to be named in transforms, got no such name'
    problems.add(option.place, `${path}.${option.key}`, message)
  }
  return steps.flatMap(step => readStep(step, catalogue, context, problems) ?? [])
}

function stepsOfMaps(list: ListNode, path: string, problems: Problems): readonly Step[] {
  const names = new Set<string>()
  return list.items.flatMap((item, i) => {
    const itemPath = `${path}.transforms[${i}]`
    if (item.kind !== 'map') {
      problems.add(item.place, itemPath, `expected a map with type, got ${describeNode(item)}`)
      return []
    }
    const options = flatten(item, itemPath, problems)
    const type = options.find(option => option.key === 'type')?.value
    const base = (type?.kind === 'scalar' ? type.text : 'transform').replace(/^.*\./, '').toLowerCase()
    let name = base
    for (let n = 2; names.has(name); n++) name = `${base}-${n}`
    names.add(name)
    return [{ name, path: itemPath, place: item.place, options }]
  })
}

function stepsOfNames(
  list: FlatOption | undefined,
  dotted: readonly FlatOption[],
  path: string,
  context: ValueContext,
  problems: Problems,
): readonly Step[] {
  if (list === undefined) return []
  const spec = { transforms: { type: 'list', doc: '', default: [] } } as const
  const scope = { specs: spec, path, place: list.place, title: '', elsewhere: new Map<string, string>() }
  const names = readOptions([list], scope, context, problems).values.transforms as readonly string[]
  const repeated = names.find((name, i) => names.indexOf(name) < i)
  if (repeated !== undefined)
    problems.add(list.value.place, `${path}.transforms`, `expected each name once, got ${quoted(repeated)} twice`)
  return [...new Set(names)].map(name => {
    const prefix = `transforms.${name}.`
    const own = dotted.filter(option => option.key.startsWith(prefix))
    const options = own.map(option => ({ ...option, key: option.key.slice(prefix.length) }))
    return { name, path: `${path}.transforms.${name}`, place: list.value.place, options }
  })
}

const NOT_YET = ['predicate', 'negate']

function readStep(
  step: Step,
  catalogue: Catalogue,
  context: ValueContext,
  problems: Problems,
): ReadTransform | undefined {
  const own = step.options.filter(option => option.key !== 'type' && !NOT_YET.includes(option.key))
  for (const option of step.options.filter(o => NOT_YET.includes(o.key)))
    problems.add(option.place, `${step.path}.${option.key}`, 'predicates are not supported yet; leave this out')
  const known = catalogue.transforms.map(transform => transform.name)
  const type = step.options.find(option => option.key === 'type')
  const name = type?.value.kind === 'scalar' ? type.value.text : undefined
  const transform = catalogue.transforms.find(t => name !== undefined && (t.name === name || t.aliases.includes(name)))
  if (transform === undefined) {
    const place = type?.value.place ?? step.place
    const got = name === undefined ? 'nothing' : `${quoted(name)}${didYouMean(name, known)}`
    problems.add(place, `${step.path}.type`, `expected one of ${known.join(', ')}, got ${got}`)
    return undefined
  }
  const scope = {
    specs: transform.options,
    path: step.path,
    place: step.place,
    title: `an option of transform ${transform.name}`,
    elsewhere: new Map<string, string>(),
    structural: ['type'],
  }
  const { values, given, sound } = readOptions(own, scope, context, problems)
  if (sound) reportMisfits(transform.problems?.(values as never) ?? [], given, scope, problems)
  return { config: { name: step.name, transform, options: values }, given, type: name! }
}
