import { glob, isDynamicPattern } from 'tinyglobby'
import { errorCode, errorMessage, type Files, type Logger } from '../../runtime/api/index.ts'
import { type FoundFile, Listing } from './listing.ts'

export interface Found {
  /** Regular files, oldest first; one that has several names may be here several times. */
  readonly files: readonly FoundFile[]
  /** The directories they were found in, for further looks at the same moment. */
  readonly listing: Listing
  /** Nothing could be said about these; whatever was known of files below them stays true. */
  readonly unreadable: readonly string[]
}

/** Finds the files of paths and globs. Knows nothing of what it found before. */
export class Discovery {
  readonly #files: Files
  readonly #paths: readonly string[]
  readonly #exclude: readonly string[]
  readonly #log: Logger
  /** What was complained about, so that it is said once and not every second. */
  readonly #said = new Set<string>()

  constructor(files: Files, paths: readonly string[], exclude: readonly string[], log: Logger) {
    this.#files = files
    this.#paths = paths
    this.#exclude = exclude
    this.#log = log
  }

  async find(): Promise<Found> {
    const listing = new Listing(this.#files)
    const unreadable: string[] = []
    const byPath = new Map<string, FoundFile>()
    for (const path of this.#paths) {
      const found = isDynamicPattern(path) ? await this.#glob(path, listing, unreadable) : []
      if (found.length === 0) found.push(...(await this.#literal(path, unreadable)))
      for (const file of found) if (file.stat.kind === 'file') byPath.set(file.path, file)
    }
    const files = [...byPath.values()].sort((a, b) => a.stat.mtimeMs - b.stat.mtimeMs)
    return { files, listing, unreadable }
  }

  /** A name may hold `[` or `*` itself, so a pattern that finds nothing is looked up as it stands, too. */
  async #literal(path: string, unreadable: string[]): Promise<FoundFile[]> {
    let stat: FoundFile['stat']
    try {
      stat = await this.#files.stat(path)
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
      unreadable.push(path)
      this.#say(path, `${path}: cannot be looked at (${errorMessage(error)}); ${ACCESS_REMEDY}`)
      return []
    }
    if (stat.kind === 'directory') {
      this.#say(path, `${path}: expected a file, found a directory; write ${path}/* for the files in it`)
    } else if (stat.kind === 'other') {
      this.#say(path, `${path}: expected a regular file, found a FIFO, socket or device; these cannot be followed`)
    }
    return [{ path, stat }]
  }

  async #glob(pattern: string, listing: Listing, unreadable: string[]): Promise<FoundFile[]> {
    const walk = new GlobWalk(this.#files, listing, (directory, error) => {
      unreadable.push(directory)
      if (errorCode(error) === 'ENOENT') return
      this.#say(directory, `${directory}: cannot be listed (${errorMessage(error)}); ${ACCESS_REMEDY}`)
    })
    const names = await glob(pattern, {
      absolute: true,
      cwd: '/',
      dot: true,
      expandDirectories: false,
      ignore: this.#exclude,
      // Only what a walk calls is given; the other members of Node's fs are not used.
      fs: { readdir: walk.readdir as never },
    })
    return names.flatMap(name => walk.found.get(name) ?? [])
  }

  #say(about: string, message: string): void {
    if (this.#said.has(about)) return
    this.#said.add(about)
    this.#log.warn({}, message)
  }
}

export const ACCESS_REMEDY =
  'give the user that runs kts-connect access: `setfacl -m u:USER:r FILE` and `setfacl -m u:USER:rx FOLDER`, or its group (`adm` for /var/log on Debian)'

type Readdir = (
  path: string,
  options: object,
  done: (error: Error | null, entries: readonly WalkEntry[]) => void,
) => void

interface WalkEntry {
  readonly name: string
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
}

/** Lets the glob library see the disk through `Files`. Links are shown as what they lead to, loops are cut here. */
class GlobWalk {
  readonly found = new Map<string, FoundFile>()
  readonly #files: Files
  readonly #listing: Listing
  readonly #failed: (directory: string, error: unknown) => void
  readonly #realPaths = new Map<string, string>()

  constructor(files: Files, listing: Listing, failed: (directory: string, error: unknown) => void) {
    this.#files = files
    this.#listing = listing
    this.#failed = failed
  }

  readonly readdir: Readdir = (path, _options, done) => {
    const directory = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
    this.#entries(directory).then(
      entries => done(null, entries),
      error => {
        this.#failed(directory, error)
        done(null, [])
      },
    )
  }

  async #entries(directory: string): Promise<readonly WalkEntry[]> {
    if (await this.#isLoop(directory)) return []
    const entries: WalkEntry[] = []
    for (const file of await this.#listing.entries(directory)) {
      const { kind } = file.stat
      this.found.set(file.path, file)
      entries.push({
        name: file.path.slice(file.path.lastIndexOf('/') + 1),
        isFile: () => kind === 'file',
        isDirectory: () => kind === 'directory',
        isSymbolicLink: () => false,
      })
    }
    return entries
  }

  /** A directory that is one of those above it, by way of a link. */
  async #isLoop(directory: string): Promise<boolean> {
    const real = await this.#files.realpath(directory)
    this.#realPaths.set(directory, real)
    let parent = directory
    while (parent !== '/') {
      parent = parent.slice(0, parent.lastIndexOf('/')) || '/'
      if (this.#realPaths.get(parent) === real) return true
    }
    return false
  }
}
