import type { FileStat, Files } from '../../runtime/api/index.ts'

/** A path and what is there, links followed. */
export interface FoundFile {
  readonly path: string
  readonly stat: FileStat
}

const STATS_AT_ONCE = 16

/** What stands in directories at one moment; each is listed once, however often it is asked for. */
export class Listing {
  readonly #files: Files
  readonly #directories = new Map<string, Promise<readonly FoundFile[]>>()

  constructor(files: Files) {
    this.#files = files
  }

  /** Directories that were listed. */
  get directories(): Iterable<string> {
    return this.#directories.keys()
  }

  /** Files, directories and others; what vanishes meanwhile is left out. Rejects when the directory cannot be listed. */
  entries(directory: string): Promise<readonly FoundFile[]> {
    let entries = this.#directories.get(directory)
    if (entries === undefined) {
      entries = this.#list(directory)
      this.#directories.set(directory, entries)
    }
    return entries
  }

  async #list(directory: string): Promise<readonly FoundFile[]> {
    const names = await this.#files.list(directory)
    const found: FoundFile[] = []
    const prefix = directory === '/' ? '/' : `${directory}/`
    for (let i = 0; i < names.length; i += STATS_AT_ONCE) {
      const some = names.slice(i, i + STATS_AT_ONCE).map(name => this.#stat(prefix + name))
      for (const file of await Promise.all(some)) if (file !== undefined) found.push(file)
    }
    return found
  }

  async #stat(path: string): Promise<FoundFile | undefined> {
    try {
      return { path, stat: await this.#files.stat(path) }
    } catch {
      // Gone meanwhile, or a link to nothing or in a circle.
      return undefined
    }
  }
}
