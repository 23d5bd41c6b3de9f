import { parseArgs } from 'node:util'
import { runSuite } from './harness.ts'
import { SUITES } from './suites.ts'

// Runners of their own, with options of their own.
const wanted = process.argv[process.argv.indexOf('--suite') + 1]
if (wanted === 'log' || wanted === 'postgres') {
  await import(wanted === 'log' ? './log-suite-run.ts' : './postgres-suite-run.ts')
  process.exit()
}

/** `npm run test:integrity -- --suite main --kills 200 --seed N`. Exits with 1 when a promise was broken or the run is void. */
const { values } = parseArgs({
  options: {
    suite: { type: 'string', default: 'main' },
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
})
const suite = SUITES.find(s => s.name === values.suite)
const kills = Number(values.kills)
const seed = Number(values.seed)
if (suite === undefined || !Number.isInteger(kills) || kills < 0 || !Number.isInteger(seed)) {
  console.error(`usage: --suite ${SUITES.map(s => s.name).join('|')} --kills <number> --seed <number>`)
  process.exit(2)
}
const report = await runSuite(suite, { kills, seed, say: line => console.error(line) })
console.log(JSON.stringify(report, undefined, 2))
process.exitCode = report.ok ? 0 : 1
