import { expect, it } from 'vitest'
import { closeClient } from '../../../connectors/postgres/connection.ts'
import { publicationState } from '../../../connectors/postgres/publication.ts'
import type { SlotOptions } from '../../../connectors/postgres/slot-options.ts'
import { TableFilter } from '../../../connectors/postgres/table-filter.ts'
import { UnpublishedTables } from '../../../connectors/postgres/unpublished-tables.ts'
import { systemClock } from '../../../runtime/api/index.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts'
import { connectionsTo, slotOptions } from './server-harness.ts'

it('a table that the lists match and the publication leaves out is told of once, with the SQL that publishes it', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  await server.run(
    `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);
     CREATE PUBLICATION few FOR TABLE a; CREATE PUBLICATION every FOR ALL TABLES`,
    database,
  )
  const client = await connectionsTo(server, database).regular()
  const watch = (given: Partial<SlotOptions>) => {
    const options = slotOptions({ 'publication.name': 'few', 'publication.autocreate.mode': 'disabled', ...given })
    const lines: LogLine[] = []
    const tables = new UnpublishedTables(options, new TableFilter(options), recordingLogger(lines))
    const look = async () => tables.look(client, await publicationState(client, options['publication.name']))
    return { look, told: () => lines.splice(0).map(({ level, message }) => `${level}: ${message}`) }
  }
  try {
    const listed = watch({ 'table.include.list': ['public.[abc]'] })
    await listed.look()
    const [first, ...more] = listed.told()
    expect(first).toMatch(/^warn: .* not captured: public\.b; .*ADD TABLE ONLY "public"."b"$/)
    expect(more).toEqual([])
    await listed.look()
    expect(listed.told()).toEqual([])
    await server.query('CREATE TABLE c (id int PRIMARY KEY)', database)
    await listed.look()
    expect(listed.told()).toEqual([expect.stringMatching(/not captured: public\.c;/)])
    await server.query(/ALTER .*/.exec(first!)![0], database)
    await listed.look()
    await server.query('ALTER PUBLICATION few DROP TABLE b', database)
    await listed.look()
    expect(listed.told()).toEqual([expect.stringMatching(/not captured: public\.b;/)])

    const unlisted = watch({})
    await unlisted.look()
    expect(unlisted.told()).toEqual([expect.stringMatching(/^info: .*public\.b, public\.c, public\.other;/)])
    for (const given of [{ 'publication.name': 'every' }, { 'publication.autocreate.mode': 'filtered' }] as const) {
      const none = watch(given)
      await none.look()
      expect(none.told()).toEqual([])
    }
  } finally {
    await closeClient(client, systemClock)
  }
}, 60_000)
