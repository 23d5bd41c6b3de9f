import { defineSource } from '../../runtime/api/index.ts'
import { checkServer } from './checks.ts'
import { cleanUp, leftBehind } from './clean-up.ts'
import { Connections, closeClient } from './connection.ts'
import { eventProblems } from './event-options.ts'
import { POSTGRES_OPTIONS } from './options.ts'
import { tellProblems } from './problem.ts'
import { PostgresSourceTask } from './source-task.ts'
import { overrideProblems } from './snapshot-overrides.ts'
import { listProblems } from './table-filter.ts'
import { VERSION } from './version.ts'

/** Every committed change of a PostgreSQL database, once and in order, as Debezium's events. */
export const postgresSource = defineSource({
  kind: 'source',
  name: 'postgres',
  aliases: ['io.debezium.connector.postgresql.PostgresConnector', 'PostgresConnector'],
  version: VERSION,
  doc: "Captures a PostgreSQL database (14 to 18) by logical replication: first the rows that there are, then every committed change, once and in commit order, as Debezium's events in a topic per table. The slot is told no more than what is durable in the log, and never holds WAL for a slow sink.",
  options: POSTGRES_OPTIONS,
  defaultConverter: 'json',
  problems: options => [...listProblems(options), ...eventProblems(options), ...overrideProblems(options)],
  // Which tables there are the server knows.
  topics: () => [],
  // A slot has one reader.
  plan: options => [options],
  open: (options, checkpoints, context) => PostgresSourceTask.open(options, checkpoints, context),
  async check(options, context) {
    const connections = new Connections(options, context)
    tellProblems(
      await checkServer(connections, options, context.clock, context.signal),
      connections.describe(),
      context.log,
    )
  },
  async cleanUp(options, { dropSlot, offline }, context) {
    const connections = new Connections(options, context)
    if (offline) return leftBehind(options, connections.describe())
    const client = await connections.regular(context.signal)
    try {
      return await cleanUp(client, options, dropSlot)
    } finally {
      await closeClient(client, context.clock)
    }
  },
})
