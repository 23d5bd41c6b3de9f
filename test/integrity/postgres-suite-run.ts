import { parseArgs } from 'node:util'
import { type Report, runSuite } from './harness.ts'
import { failover } from './postgres/failover.ts'
import { hugeTransaction, quietTable } from './postgres/holding.ts'
import { cuts, restarts, walsenders } from './postgres/interruptions.ts'
import { lostSlots } from './postgres/lost-slots.ts'
import { type PostgresPart, runPart } from './postgres/part.ts'
import { postgresSuite } from './postgres-suite.ts'

const PARTS: readonly PostgresPart[] = [restarts, walsenders, cuts, lostSlots, failover, hugeTransaction, quietTable]

/** Kills of one database, log and connector: each has one first snapshot only. */
const KILLS_PER_LIFE = 40

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
const lives: Report[] = []
const livesWanted = withKills ? Math.max(1, Math.round(kills! / KILLS_PER_LIFE)) : 0
for (let life = 0; life < livesWanted; life++) {
  const some = Math.floor((kills! * (life + 1)) / livesWanted) - Math.floor((kills! * life) / livesWanted)
  lives.push(await runSuite(postgresSuite, { kills: some, seed: seed! + life, say }))
  say(JSON.stringify(lives.at(-1)))
}
const reports = []
for (const part of parts) reports.push(await runPart(part, { seed: seed!, rounds: rounds!, rows: rows!, say }))
const ok = lives.every(life => life.ok) && reports.every(({ broken }) => broken.length === 0)
const total = lives.length === 0 ? undefined : totalOf(lives)
console.log(JSON.stringify({ suite: 'postgres', seed, kills: total, parts: reports, ok }, undefined, 2))
process.exitCode = ok ? 0 : 1

function totalOf(lives: readonly Report[]) {
  const sum = (count: (life: Report) => number | undefined) => lives.reduce((n, life) => n + (count(life) ?? 0), 0)
  const moments = new Set(lives.flatMap(({ met }) => Object.keys(met)))
  return {
    lives: lives.length,
    kills: sum(life => life.kills),
    met: Object.fromEntries([...moments].map(name => [name, sum(life => life.met[name])])),
    records: sum(life => life.records),
    lost: sum(life => life.lost),
    duplicates: sum(life => life.duplicates),
    reordered: sum(life => life.reordered),
    altered: sum(life => life.altered),
    half: sum(life => life.half),
    ownExits: sum(life => life.ownExits),
    seconds: sum(life => life.seconds),
    examples: lives.flatMap(({ examples }) => examples),
  }
}
