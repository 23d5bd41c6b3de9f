import { parseArgs } from 'node:util'
import { runSuite } from './harness.ts'
import { failover } from './postgres/failover.ts'
import { hugeTransaction, quietTable } from './postgres/holding.ts'
import { cuts, restarts, walsenders } from './postgres/interruptions.ts'
import { lostSlots } from './postgres/lost-slots.ts'
import { type PostgresPart, runPart } from './postgres/part.ts'
import { postgresSuite } from './postgres-suite.ts'

const PARTS: readonly PostgresPart[] = [restarts, walsenders, cuts, lostSlots, failover, hugeTransaction, quietTable]

/**
 * `npm run test:integrity -- --suite postgres [--kills N] [--seed N] [--rounds N] [--rows N] [--part kills|NAME]`. Sets the
 * exit code to 1 when a promise was broken or the run is void.
 */
const { values } = parseArgs({
  options: {
    suite: { type: 'string' },
    kills: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    rounds: { type: 'string', default: '30' },
    rows: { type: 'string', default: '1000000' },
    part: { type: 'string' },
  },
})
const [kills, seed, rounds, rows] = [values.kills, values.seed, values.rounds, values.rows].map(Number)
const parts = PARTS.filter(({ name }) => values.part === undefined || values.part === name)
const withKills = values.part === undefined || values.part === 'kills'
if ([kills, seed, rounds, rows].some(n => !Number.isInteger(n) || n! < 0) || (parts.length === 0 && !withKills)) {
  console.error(`usage: --suite postgres [--kills N] [--seed N] [--rounds N] [--rows N] [--part NAME], with parts
  kills            ${postgresSuite.doc}
${PARTS.map(part => `  ${part.name.padEnd(16)} ${part.doc}`).join('\n')}`)
  process.exit(2)
}
const say = (line: string) => console.error(line)
const report = withKills ? await runSuite(postgresSuite, { kills: kills!, seed: seed!, say }) : undefined
const reports = []
for (const part of parts) reports.push(await runPart(part, { seed: seed!, rounds: rounds!, rows: rows!, say }))
const ok = (report?.ok ?? true) && reports.every(({ broken }) => broken.length === 0)
console.log(JSON.stringify({ suite: 'postgres', seed, kills: report, parts: reports, ok }, undefined, 2))
process.exitCode = ok ? 0 : 1
