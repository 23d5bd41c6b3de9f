import type { Files, Watcher } from '../../runtime/api/index.ts'

/** Linux allows a user some thousands of watches; the rest of the directories are seen by the regular look. */
const WATCHES_MAX = 1024

/**
 * Hints that something in a directory changed. One watch serves all files of a directory, which keeps ten thousand idle
 * files free of cost, and it also tells of new names.
 */
export class DirectoryWatches {
  readonly #files: Files
  readonly #changed: (path: string | undefined) => void
  readonly #watchers = new Map<string, Watcher>()

  /** `changed` is given the path of what changed, or undefined where the system does not say. */
  constructor(files: Files, changed: (path: string | undefined) => void) {
    this.#files = files
    this.#changed = changed
  }

  /** Watches these directories and no others. */
  set(directories: ReadonlySet<string>): void {
    for (const [directory, watcher] of this.#watchers) {
      if (directories.has(directory)) continue
      watcher.close()
      this.#watchers.delete(directory)
    }
    for (const directory of directories) {
      if (this.#watchers.size >= WATCHES_MAX) return
      if (this.#watchers.has(directory)) continue
      const changed = (name: string | undefined) =>
        this.#changed(name === undefined ? undefined : `${directory}/${name}`)
      this.#watchers.set(directory, this.#files.watch(directory, changed))
    }
  }

  close(): void {
    this.set(new Set())
  }
}
