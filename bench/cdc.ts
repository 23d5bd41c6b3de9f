import type { Bench } from './bench.ts'
import { CdcDatabase, type Transport } from './cdc-database.ts'

const ROWS = Number(process.env.KTS_BENCH_ROWS ?? 1_000_000)

function drain(transport: Transport, each: number): Bench {
  return {
    name: `cdc-drain-${transport}-${each}`,
    unit: 'changes/s',
    against: `pg_recvlogical to /dev/null, ${transport}`,
    must: 0.8,
    goal: 1,
    runsMax: 5,
    open: async ({ directory }) => {
      const database = await CdcDatabase.open(directory)
      await database.makeBacklog(ROWS, each, transport)
      return {
        ours: () => database.drain(ROWS, transport),
        theirs: () => database.recvlogical(ROWS, transport),
        close: () => database.close(),
      }
    },
  }
}

/** A backlog in transactions of 100 rows and of one, to JSON in the log. */
export const cdcDrain: readonly Bench[] = [drain('unix', 100), drain('tcp', 100), drain('unix', 1), drain('tcp', 1)]

export const cdcSnapshot: Bench = {
  name: 'cdc-snapshot',
  unit: 'rows/s',
  against: 'COPY TO STDOUT to /dev/null',
  must: 0.3,
  goal: 0.5,
  runsMax: 5,
  open: async ({ directory }) => {
    const database = await CdcDatabase.open(directory)
    await database.fill(ROWS)
    return {
      ours: () => database.snapshot(ROWS, 'unix'),
      theirs: () => database.copyToNull(ROWS, 'unix'),
      close: () => database.close(),
    }
  },
}
