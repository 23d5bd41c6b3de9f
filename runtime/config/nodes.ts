import type { Place } from './types.ts'

/**
 * YAML as the configuration sees it: scalars keep their source text, because whether `1.10` or `no` is a number, a
 * boolean or text is known only to the option that takes it. Maps are lists of entries: no key can reach a prototype.
 */
export type ConfigNode = ScalarNode | EmptyNode | ListNode | MapNode

interface Located {
  readonly place: Place
  /** Nodes in it, aliases expanded. */
  readonly size: number
}

export interface ScalarNode extends Located {
  readonly kind: 'scalar'
  readonly text: string
  /** Neither quoted nor a block. */
  readonly plain: boolean
}

/** `key:` with nothing behind it, `~` or `null`. */
export interface EmptyNode extends Located {
  readonly kind: 'empty'
  /** What stood there could not be read, and that was told. */
  readonly broken?: boolean
}

export interface ListNode extends Located {
  readonly kind: 'list'
  readonly items: readonly ConfigNode[]
  /** As written. */
  readonly source: string
}

export interface MapNode extends Located {
  readonly kind: 'map'
  readonly entries: readonly MapEntry[]
  /** As written. */
  readonly source: string
}

export interface MapEntry {
  readonly key: string
  /** Of the key. */
  readonly place: Place
  readonly value: ConfigNode
  /** 0 for what stands here, more for what came in by `<<`: the lowest wins. */
  readonly rank: number
}

/** The entries that count when a key is looked up as a whole: the nearest of each name, in order. */
export function winners(map: MapNode): readonly MapEntry[] {
  const best = new Map<string, MapEntry>()
  for (const entry of map.entries) {
    const other = best.get(entry.key)
    if (other === undefined || entry.rank < other.rank) best.set(entry.key, entry)
  }
  return [...best.values()]
}

/** What a message calls it. */
export function describeNode(node: ConfigNode): string {
  return { scalar: 'a single value', empty: 'nothing', list: 'a list', map: 'a map' }[node.kind]
}
