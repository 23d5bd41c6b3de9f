import type { MemoryDirectory, MemoryNode } from './memory-nodes.ts'
import { type Random, randomInt } from './random.ts'

/** One name and what it means from now on; undefined when it is gone. */
export interface MemoryEntry {
  readonly directory: MemoryDirectory
  readonly name: string
  readonly node: MemoryNode | undefined
}

/** Entries that change together or not at all: one, or the two of a rename. */
type EntryChange = readonly MemoryEntry[]

/** The changes of directories that no sync has covered yet, oldest first. */
export class MemoryJournal {
  #changes: EntryChange[] = []
  /** Changes ever taken; the position of the next one. */
  #taken = 0

  add(change: EntryChange): void {
    this.#changes.push(change)
    this.#taken++
  }

  /** A sync covers what happened before it was called, so it remembers where that was. */
  get taken(): number {
    return this.#taken
  }

  refersTo(node: MemoryNode): boolean {
    return this.#changes.some(change => change.some(entry => entry.node === node))
  }

  /**
   * Makes a directory's changes among the first `taken` durable, and with them the earlier ones of other directories
   * that they build on. Answers the nodes that lost a durable name.
   */
  sync(directory: MemoryDirectory, taken: number): MemoryNode[] {
    const first = this.#taken - this.#changes.length
    const names = new Set<string>()
    const synced: EntryChange[] = []
    const rest: EntryChange[] = []
    for (let i = this.#changes.length - 1; i >= 0; i--) {
      const change = this.#changes[i]!
      const covered =
        first + i < taken && change.some(entry => entry.directory === directory || names.has(fullName(entry)))
      if (covered) for (const entry of change) names.add(fullName(entry))
      ;(covered ? synced : rest).push(change)
    }
    this.#changes = rest.reverse()
    return synced.reverse().flatMap(makeDurable)
  }

  /** At a power cut: each of the changes may have reached the disk, though none without those that it builds on. */
  keepSome(random: Random): void {
    const likelihood = randomInt(random, 3) / 2
    const lost = new Set<string>()
    for (const change of this.#changes) {
      const kept = !change.some(entry => lost.has(fullName(entry))) && random.next() < likelihood
      if (kept) makeDurable(change)
      else for (const entry of change) lost.add(fullName(entry))
    }
    this.#changes = []
  }
}

function fullName({ directory, name }: MemoryEntry): string {
  return `${directory.ino}/${name}`
}

function makeDurable(change: EntryChange): MemoryNode[] {
  const replaced: MemoryNode[] = []
  for (const { directory, name, node } of change) {
    const before = directory.durable.get(name)
    if (node === undefined) directory.durable.delete(name)
    else {
      directory.durable.set(name, node)
      node.durableLinks++
    }
    if (before !== undefined) {
      before.durableLinks--
      replaced.push(before)
    }
  }
  return replaced
}
