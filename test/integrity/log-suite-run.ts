import { parseArgs } from 'node:util'
import { LOG_PARTS, runLogSuite } from './log-suite.ts'

/**
 * `npm run test:integrity -- --suite log [--seed N] [--kills N] [--seeds N] [--stride N] [--part NAME [--point N]]`. Sets the
 * exit code to 1 when a promise was broken or a part is void.
 */
const { values } = parseArgs({
  options: {
    suite: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    kills: { type: 'string', default: '500' },
    seeds: { type: 'string', default: '10000' },
    stride: { type: 'string', default: '1' },
    part: { type: 'string' },
    point: { type: 'string' },
  },
})
const numbers = [values.seed, values.kills, values.seeds, values.stride, values.point ?? '1'].map(Number)
const parts = LOG_PARTS.filter(part => values.part === undefined || part.name === values.part)
if (parts.length === 0 || numbers.some(n => !Number.isInteger(n) || n < 0) || Number(values.stride) < 1) {
  console.error(`usage: --suite log [--seed N] [--kills N] [--seeds N] [--stride N] [--part NAME [--point N]], with parts
${LOG_PARTS.map(part => `  ${part.name.padEnd(16)} ${part.doc}`).join('\n')}`)
  process.exit(2)
}
const size = {
  seed: Number(values.seed),
  kills: Number(values.kills),
  seeds: Number(values.seeds),
  stride: Number(values.stride),
  point: values.point === undefined ? undefined : Number(values.point),
  say: (line: string) => console.error(line),
}
const report = await runLogSuite(size, parts)
console.log(JSON.stringify(report, undefined, 2))
process.exitCode = report.ok ? 0 : 1
