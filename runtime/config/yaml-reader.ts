import { type Alias, type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from 'yaml'
import type { ConfigNode, MapEntry, MapNode } from './nodes.ts'
import { formatPlace, type Problems, quoted } from './problems.ts'
import { quoteHint, soundsSecret } from './quote-hint.ts'
import type { Place } from './types.ts'

/** Most nodes that a file's aliases may stand for in all: an alias bomb ends here. */
const ALIASED_MAX = 10_000

const EMPTY = new Set(['', '~', 'null', 'Null', 'NULL'])

/**
 * Turns the parser's tree into ConfigNodes: aliases replaced by what they name, `<<` merged, duplicate keys reported with
 * both places.
 */
export class YamlReader {
  readonly #text: string
  readonly #placeAt: (offset: number) => Place
  readonly #problems: Problems
  /** Undefined while the anchored node itself is being read. */
  readonly #anchors = new Map<string, ConfigNode | undefined>()
  readonly #path: string[] = []
  #split: readonly string[] | undefined
  #aliased = 0

  constructor(text: string, placeAt: (offset: number) => Place, problems: Problems) {
    this.#text = text
    this.#placeAt = placeAt
    this.#problems = problems
  }

  read(document: Document.Parsed): ConfigNode {
    return this.#node(document.contents, 0)
  }

  #node(node: Node | null, offset: number): ConfigNode {
    const start = node?.range?.[0] ?? offset
    const place = this.#placeAt(start)
    if (node === null) return { kind: 'empty', place, size: 1 }
    if (isAlias(node)) return this.#alias(node, place)
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, undefined)
    const read = this.#content(node, place, start)
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, read)
    return read
  }

  #content(node: Node, place: Place, start: number): ConfigNode {
    if (isScalar(node)) {
      const plain = node.type === 'PLAIN'
      const text = String(node.value ?? '')
      return plain && EMPTY.has(text)
        ? { kind: 'empty', place, size: 1 }
        : { kind: 'scalar', place, size: 1, text, plain }
    }
    const source = this.#text.slice(start, node.range?.[1] ?? start)
    if (isMap(node)) return this.#map(node as YAMLMap<Node, Node | null>, place, source)
    if (!isSeq(node)) return { kind: 'empty', place, size: 1 }
    const items = node.items.map(item => this.#node(item as Node | null, start))
    return { kind: 'list', place, source, items, size: sizeOf(items) }
  }

  #map(node: YAMLMap<Node, Node | null>, place: Place, source: string): MapNode {
    const entries: MapEntry[] = []
    const merged: MapEntry[] = []
    const seen = new Map<string, Place>()
    for (const pair of node.items) {
      const key = this.#key(pair)
      if (key === undefined) continue
      this.#path.push(key.key)
      const value = this.#node(pair.value, pair.key.range?.[1] ?? 0)
      const twice = seen.get(key.key)
      if (key.merge) merged.push(...this.#merge(value))
      else if (twice !== undefined) {
        this.#add(key.place, `expected each key once, got it also at ${formatPlace(twice)}`)
      } else {
        seen.set(key.key, key.place)
        entries.push({ key: key.key, place: key.place, value, rank: 0 })
      }
      this.#path.pop()
    }
    const all = [...entries, ...merged]
    return { kind: 'map', place, source, entries: all, size: sizeOf(all.map(e => e.value)) }
  }

  #key(pair: Pair<Node, Node | null>): { key: string; place: Place; merge: boolean } | undefined {
    const place = this.#placeAt(pair.key.range?.[0] ?? 0)
    if (isScalar(pair.key)) {
      const key = String(pair.key.value ?? '')
      return { key, place, merge: key === '<<' && pair.key.type === 'PLAIN' }
    }
    const hint = this.#hint(place)
    this.#add(place, `expected a name as key, got ${isAlias(pair.key) ? 'an alias' : 'a collection'}${hint}`)
    return undefined
  }

  /** The entries that `<<: *base` or `<<: [*first, *second]` brings in; of two the first wins. */
  #merge(value: ConfigNode): MapEntry[] {
    const sources = value.kind === 'list' ? value.items : [value]
    return sources.flatMap((source, i) => {
      if (source.kind === 'map') return source.entries.map(entry => ({ ...entry, rank: entry.rank + 1 + i }))
      this.#add(value.place, 'expected an alias of a map, or a list of them, to merge')
      return []
    })
  }

  #alias(alias: Alias, place: Place): ConfigNode {
    const empty: ConfigNode = { kind: 'empty', place, size: 1, broken: true }
    const name = soundsSecret(this.#path.join('.')) ? '[hidden]' : quoted(`*${alias.source}`)
    if (!this.#anchors.has(alias.source)) {
      this.#add(place, `expected a value, got ${name}, an alias without its anchor${this.#hint(place)}`)
      return empty
    }
    const target = this.#anchors.get(alias.source)
    if (target === undefined) {
      this.#add(place, `expected a value, got ${name}, an alias inside the anchor it names`)
      return empty
    }
    this.#aliased += target.size
    if (this.#aliased <= ALIASED_MAX) return target
    if (this.#aliased - target.size <= ALIASED_MAX)
      this.#add(place, `expected aliases that stand for at most ${ALIASED_MAX} values, got more`)
    // Further aliases add nothing: neither memory nor the same problem again.
    this.#aliased = Number.POSITIVE_INFINITY
    return empty
  }

  #add(place: Place, message: string): void {
    this.#problems.add(place, this.#path.join('.'), message)
  }

  get #lines(): readonly string[] {
    this.#split ??= this.#text.split('\n')
    return this.#split
  }

  #hint(place: Place): string {
    const hint = quoteHint(this.#lines[place.line - 1] ?? '', place.column)
    return hint === undefined ? '' : `; ${hint}`
  }
}

function sizeOf(nodes: readonly ConfigNode[]): number {
  let size = 1
  for (const node of nodes) size += node.size
  return size
}
