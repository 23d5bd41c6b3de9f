import { basename } from 'node:path'
import { type FlatOption, flatten } from './flat-options.ts'
import { type ConfigNode, describeNode, type MapEntry, type MapNode, winners } from './nodes.ts'
import { formatPlace, type Problems } from './problems.ts'
import { didYouMean } from './suggest.ts'
import type { Place } from './types.ts'

/** A map of options that has a name: a connector, a topic, `worker` or `broker`. */
export interface Section {
  readonly name: string
  readonly path: string
  /** Of the name. */
  readonly place: Place
  readonly options: readonly FlatOption[]
}

/** One file, taken apart; nothing in it is understood yet. */
export interface PipelineFile {
  readonly file: string
  /** The pipeline's. */
  readonly name: string
  readonly namePlace: Place
  readonly worker: Section | undefined
  readonly broker: Section | undefined
  readonly topics: readonly Section[]
  readonly sources: readonly Section[]
  readonly sinks: readonly Section[]
  /** A pasted Connect config: whether it is a source or a sink its class tells. */
  readonly pasted: Section | undefined
}

const KEYS = ['name', 'topics', 'sources', 'sinks', 'worker', 'broker']

export function readPipelineFile(root: ConfigNode, file: string, problems: Problems): PipelineFile | undefined {
  if (root.kind !== 'map') {
    problems.add(root.place, '', `expected a map with ${KEYS.join(', ')}, got ${describeNode(root)}`)
    return undefined
  }
  const entries = new Map(winners(root).map(entry => [entry.key, entry]))
  if (entries.has('config') || entries.has('connector.class')) return readPasted(root, entries, file, problems)
  const sections = new Map<string, MapEntry>()
  const dotted: MapEntry[] = []
  for (const entry of entries.values()) {
    if (KEYS.includes(entry.key)) sections.set(entry.key, entry)
    else if (/^(worker|broker)\../.test(entry.key)) dotted.push(entry)
    else if (!entry.key.startsWith('x-')) problems.add(entry.place, entry.key, unknownKey(entry.key))
  }
  const named = readName(sections.get('name'), file, problems)
  const many = (key: string) => readSections(sections.get(key), problems)
  const one = (key: string) => readSettings(key, sections.get(key), dotted, problems)
  const topics = many('topics')
  const sources = many('sources')
  const sinks = many('sinks')
  return { file, ...named, worker: one('worker'), broker: one('broker'), topics, sources, sinks, pasted: undefined }
}

function unknownKey(key: string): string {
  const section = /^(topics|sources|sinks)\./.exec(key)?.[1]
  if (section !== undefined)
    return `expected ${section} as a map of its own, got ${key}; write the name below ${section}:`
  return `expected one of ${KEYS.join(', ')} or x-…, got ${key}${didYouMean(key, KEYS)}`
}

function readName(entry: MapEntry | undefined, file: string, problems: Problems) {
  const name = basename(file).replace(/\.(ya?ml|json|properties)$/i, '')
  if (entry === undefined) return { name, namePlace: { file, line: 1, column: 1 } }
  if (entry.value.kind === 'scalar' && entry.value.text.trim() !== '') {
    return { name: entry.value.text, namePlace: entry.value.place }
  }
  problems.add(entry.value.place, 'name', `expected a text, got ${describeNode(entry.value)}`)
  return { name, namePlace: entry.place }
}

function readSections(entry: MapEntry | undefined, problems: Problems): readonly Section[] {
  if (entry === undefined || entry.value.kind === 'empty') return []
  if (entry.value.kind !== 'map') {
    problems.add(entry.value.place, entry.key, `expected a map of names, got ${describeNode(entry.value)}`)
    return []
  }
  return winners(entry.value).flatMap(({ key, place, value }) => {
    const path = `${entry.key}.${key}`
    if (value.kind === 'map') return [{ name: key, path, place, options: flatten(value, path, problems) }]
    if (value.kind === 'empty') return [{ name: key, path, place, options: [] }]
    problems.add(value.place, path, `expected a map of options, got ${describeNode(value)}`)
    return []
  })
}

/** `worker` and `broker`: nested, or dotted at the top. */
function readSettings(
  name: string,
  entry: MapEntry | undefined,
  dotted: readonly MapEntry[],
  problems: Problems,
): Section | undefined {
  const own = dotted.filter(d => d.key.startsWith(`${name}.`))
  const place = entry?.place ?? own[0]?.place
  if (place === undefined) return undefined
  if (entry !== undefined && entry.value.kind !== 'map' && entry.value.kind !== 'empty') {
    problems.add(entry.value.place, name, `expected a map of options, got ${describeNode(entry.value)}`)
    return undefined
  }
  const nested = entry?.value.kind === 'map' ? entry.value.entries : []
  const entries = [...nested, ...own.map(d => ({ ...d, key: d.key.slice(name.length + 1) }))]
  return { name, path: name, place, options: flatten({ entries }, name, problems) }
}

/** `{"name": …, "config": {…}}` as for POST /connectors, or the flat form of connect-standalone. */
function readPasted(
  root: MapNode,
  entries: ReadonlyMap<string, MapEntry>,
  file: string,
  problems: Problems,
): PipelineFile | undefined {
  const named = readName(entries.get('name'), file, problems)
  const config = entries.get('config')
  const parts = { file, ...named, worker: undefined, broker: undefined, topics: [], sources: [], sinks: [] }
  const section = { name: named.name, place: named.namePlace }
  if (config === undefined) {
    return { ...parts, pasted: { ...section, path: named.name, options: flatten(root, named.name, problems) } }
  }
  for (const entry of entries.values()) {
    if (!['name', 'config'].includes(entry.key) && !entry.key.startsWith('x-'))
      problems.add(entry.place, entry.key, `expected name and config alone in a Connect config, got ${entry.key}`)
  }
  if (config.value.kind !== 'map') {
    problems.add(config.value.place, 'config', `expected a map of options, got ${describeNode(config.value)}`)
    return undefined
  }
  return { ...parts, pasted: { ...section, path: 'config', options: flatten(config.value, 'config', problems) } }
}

/** Names must be unique: both places are told. */
export function reportRepeated(
  kind: string,
  named: readonly { readonly name: string; readonly path: string; readonly place: Place }[],
  problems: Problems,
): void {
  const seen = new Map<string, Place>()
  for (const { name, path, place } of named) {
    const other = seen.get(name)
    if (other === undefined) seen.set(name, place)
    else
      problems.add(
        place,
        path,
        `expected a ${kind} name of its own, got ${name}, which is also at ${formatPlace(other)}`,
      )
  }
}
