import { spawn } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeAccessLog } from '../cli/access-log-file.ts'
import type { Bench } from './bench.ts'

const LIMIT_MB = 150
const SEED = 7

/** Peak resident memory of a worker (the built package) that moves one file over 8 partitions into one sink. */
export const rss: Bench = {
  name: 'rss',
  unit: 'MB',
  against: '150 MB',
  must: 1,
  goal: 0.73,
  lowerIsBetter: true,
  async open({ directory, bytes }) {
    const input = join(directory, 'access.log')
    await writeAccessLog(input, Math.min(bytes, 256 << 20), SEED)
    const yaml = join(directory, 'rss.yaml')
    await writeFile(
      yaml,
      [
        'name: rss',
        'worker: { rest.port: 0 }',
        'topics: { lines: { partitions: 8 } }',
        `sources: { tail: { type: file, paths: [${input}], topic: lines, at.end: stop, partition.by: round-robin } }`,
        `sinks: { out: { type: s3, topics: [lines], store.url: ${join(directory, 'out')}, format: text, compression: none } }`,
      ].join('\n'),
    )
    return {
      ours: async () => {
        await rm(join(directory, 'data'), { recursive: true, force: true })
        await rm(join(directory, 'out'), { recursive: true, force: true })
        return peakOf(['dist/cli/main.js', 'start', yaml, '--data-dir', join(directory, 'data')])
      },
      theirs: async () => LIMIT_MB,
      close: async () => {},
    }
  },
}

/** VmHWM of a child, read from /proc while it runs, in megabytes of 10^6 bytes. */
async function peakOf(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
  let peak = 0
  let running = true
  void ended.then(() => {
    running = false
  })
  while (running) {
    const status = await readFile(`/proc/${child.pid}/status`, 'latin1').catch(() => '')
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0))
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const code = await ended
  if (code !== 0) throw new Error(`the worker ended with ${code}`)
  return (peak * 1024) / 1e6
}
