import { KtsError } from '../../runtime/api/index.ts'

/** One server: a name or address and a port, or a folder with its unix socket (begins with a slash). */
export interface ServerAddress {
  readonly host: string
  readonly port: number
}

const DEFAULT_PORT = 5432

/**
 * `a`, `a:5432,b:5433`, `[::1]:5432`, `/var/run/postgresql`; `ports` is one for all or, as libpq has it, one for each.
 * Throws CONFIG_INVALID.
 */
export function parseAddresses(hosts: string, ports: string | undefined): readonly ServerAddress[] {
  const names = hosts.split(',').map(name => name.trim())
  const given = ports === undefined || ports === '' ? [] : ports.split(',').map(port => port.trim())
  if (given.length > 1 && given.length !== names.length)
    throw invalid(
      `${names.length} servers with one port for each of them, or one port for all, got ${given.length} ports`,
    )
  return names.map((name, at) => parseAddress(name, given[given.length === 1 ? 0 : at]))
}

function parseAddress(name: string, port: string | undefined): ServerAddress {
  if (name.startsWith('/')) return { host: name, port: portOf(port) }
  const match = /^(?:\[([0-9a-f:.%\w]+)\]|([^:[\]\s]+))(?::(\d+))?$/i.exec(name)
  if (match !== null) return { host: match[1] ?? match[2]!, port: portOf(match[3] ?? port) }
  // An address of IPv6 without brackets has no port of its own.
  if (/^[0-9a-f:.]+$/i.test(name) && name.split(':').length > 2) return { host: name, port: portOf(port) }
  throw invalid(
    `servers such as db.example.com, a:5432,b:5433, [::1]:5432 or /var/run/postgresql, got ${name || 'nothing'}`,
  )
}

function portOf(text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_PORT
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port >= 1 && port <= 65_535) return port
  throw invalid(`a port from 1 to 65535, got ${text}`)
}

function invalid(expected: string): KtsError {
  return new KtsError('CONFIG_INVALID', `database.hostname: expected ${expected}`)
}

/** `db:5432`, `[::1]:5432`, `/run/.s.PGSQL.5432`: as it stands in messages. */
export function describeAddress({ host, port }: ServerAddress): string {
  if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
