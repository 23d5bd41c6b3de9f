import { CONNECTION_OPTIONS, type ConnectionOptions } from '../../../connectors/postgres/connection-options.ts'
import { Connections } from '../../../connectors/postgres/connection.ts'
import { SLOT_OPTIONS, type SlotOptions } from '../../../connectors/postgres/slot-options.ts'
import { type Logger, nodeFiles, type OptionSpecs, silentLogger, systemClock } from '../../../runtime/api/index.ts'
import type { PostgresServer } from '../../support/postgres.ts'

function defaultsOf(specs: OptionSpecs): Record<string, unknown> {
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, spec.default ?? undefined]))
}

export function connectionOptions(given: Partial<ConnectionOptions> = {}): ConnectionOptions {
  return { ...defaultsOf(CONNECTION_OPTIONS), ...given } as ConnectionOptions
}

export function slotOptions(given: Partial<SlotOptions> = {}): SlotOptions {
  return { ...defaultsOf(SLOT_OPTIONS), ...given } as SlotOptions
}

/** To a server of a test, over TCP as postgres unless something else is said. */
export function connectionsTo(
  server: Pick<PostgresServer, 'host' | 'port'>,
  database: string,
  given: Partial<ConnectionOptions> = {},
  world: { readonly env?: Readonly<Record<string, string>>; readonly log?: Logger; readonly known?: boolean } = {},
): Connections {
  const options = connectionOptions({
    'database.hostname': server.host,
    'database.port': server.port,
    'database.user': 'postgres',
    'database.dbname': database,
    ...given,
  })
  const { env = {}, log = silentLogger, known = false } = world
  return new Connections(options, { env, log, files: nodeFiles, clock: systemClock, connector: 'test', known })
}
