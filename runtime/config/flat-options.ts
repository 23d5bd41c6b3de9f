import type { EmptyNode, ListNode, MapNode, ScalarNode } from './nodes.ts'
import { formatPlace, type Problems } from './problems.ts'
import type { Place } from './types.ts'

/** One option under its dotted name, whichever way it was nested. */
export interface FlatOption {
  readonly key: string
  /** Of the key. */
  readonly place: Place
  readonly value: ScalarNode | EmptyNode | ListNode
  /** 0 for what stands here, more for what came in by `<<`. */
  readonly rank: number
}

/**
 * Nested and dotted spellings are one option. What stands in the map itself goes before what was merged into it, in either
 * spelling; the same option twice is a problem that names both places.
 */
export function flatten(map: Pick<MapNode, 'entries'>, path: string, problems: Problems): readonly FlatOption[] {
  const found = new Map<string, FlatOption>()
  collect(map, '', 0, option => {
    const other = found.get(option.key)
    if (other !== undefined && other.rank === option.rank && other.value !== option.value) {
      const at = formatPlace(other.place)
      problems.add(option.place, `${path}.${shownName(option.key)}`, `expected the option once, got it also at ${at}`)
    } else if (other === undefined || option.rank < other.rank) found.set(option.key, option)
  })
  return [...found.values()]
}

function collect(map: Pick<MapNode, 'entries'>, prefix: string, rank: number, add: (option: FlatOption) => void): void {
  for (const entry of map.entries) {
    const key = prefix + entry.key
    if (entry.value.kind === 'map') collect(entry.value, `${key}.`, rank + entry.rank, add)
    else add({ key, place: entry.place, value: entry.value, rank: rank + entry.rank })
  }
}

/** An option's name as it may be printed: Debezium has the salts of hashes in names. */
export function shownName(key: string): string {
  return key.replace(/(\.salt\.).+/s, '$1[hidden]')
}

/** As written, `${…}` unresolved. */
export function writtenText({ value }: FlatOption): string {
  if (value.kind === 'empty') return ''
  if (value.kind === 'scalar') return value.text
  return value.items.map(item => (item.kind === 'scalar' ? item.text : '…')).join(', ')
}
