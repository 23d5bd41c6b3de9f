import type { Clock, Files } from '../../runtime/api/index.ts'
import { beginsAs, HEAD_BYTES, matchAnchor } from './identity.ts'
import type { FoundFile } from './listing.ts'
import { keyOf, type TailedFile } from './tailed-file.ts'

interface Suspect {
  readonly size: number
  readonly mtimeMs: number
  readonly since: number
  readonly original: TailedFile | undefined
}

/**
 * Tells a copy that log rotation made (`access.log` to `access.log.1`, then truncated) from a new file, where a glob
 * matches both. Only a sibling whose name goes on where the original's ends is ever taken for a copy: two files that
 * merely begin alike are two files. So are files of which less than a kilobyte was read, since many share a first line:
 * there a repeat is the lesser evil.
 */
export class CopyFinder {
  readonly #files: Files
  readonly #clock: Clock
  readonly #waitMs: number
  /** By device and inode. An entry without original is a copy that may still be under way. */
  readonly #suspects = new Map<string, Suspect>()

  constructor(files: Files, clock: Clock, waitMs: number) {
    this.#files = files
    this.#clock = clock
    this.#waitMs = waitMs
  }

  get undecided(): boolean {
    for (const { original } of this.#suspects.values()) if (original === undefined) return true
    return false
  }

  /** The file this is a copy of; `undecided` while it may be one that is being made. Rejects when it cannot be read. */
  async originalOf(
    found: FoundFile,
    byPath: ReadonlyMap<string, TailedFile>,
  ): Promise<TailedFile | 'undecided' | undefined> {
    const related = namesakes(found.path, byPath)
    if (related.length === 0 || found.stat.size === 0) return undefined
    const key = keyOf(found.stat)
    const known = this.#suspects.get(key)
    const unchanged = known?.size === found.stat.size && known.mtimeMs === found.stat.mtimeMs
    if (unchanged && known.original !== undefined && related.includes(known.original)) return known.original
    const now = this.#clock.monotonic()
    const since = unchanged ? known.since : now
    const suspicion = await this.#examine(found, related)
    if (suspicion === undefined || (suspicion === 'undecided' && now - since >= this.#waitMs)) {
      this.#suspects.delete(key)
      return undefined
    }
    const original = suspicion === 'undecided' ? undefined : suspicion
    this.#suspects.set(key, { size: found.stat.size, mtimeMs: found.stat.mtimeMs, since, original })
    return suspicion
  }

  async #examine(found: FoundFile, related: readonly TailedFile[]): Promise<TailedFile | 'undecided' | undefined> {
    const handle = await this.#files.open(found.path, 'read')
    try {
      for (const file of related) {
        if ((await matchAnchor(handle, file.fingerprint)) !== undefined) return file
        if (found.stat.size < file.offset && (await beginsAs(handle, file.fingerprint))) return 'undecided'
      }
      return undefined
    } finally {
      await handle.close()
    }
  }
}

/** Followed files of which enough was read to know a copy, and whose name is the beginning of this one. */
function namesakes(path: string, byPath: ReadonlyMap<string, TailedFile>): readonly TailedFile[] {
  const related: TailedFile[] = []
  for (let length = path.lastIndexOf('/') + 2; length < path.length; length++) {
    const file = byPath.get(path.slice(0, length))
    if (file !== undefined && file.fingerprint.headLen === HEAD_BYTES) related.push(file)
  }
  return related
}
