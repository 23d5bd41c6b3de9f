import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeAccessLog } from '../cli/access-log-file.ts'
import { startPipeline } from '../cli/index.ts'
import type { Bench, BenchContext, Sides } from './bench.ts'

const run = promisify(execFile)
const SEED = 7

/** tail → log, durable: until the last line is fsynced with its checkpoint. */
export const tailToLog: Bench = {
  name: 'tail-to-log',
  unit: 'MB/s',
  against: 'cp',
  must: 0.12,
  goal: 0.2,
  open: async context => {
    const input = await makeInput(context)
    return against(context, input, copyOf(context, input), () => pipeline(context, { source: input.path, fresh: true }))
  },
}

export const logToText: Bench = { ...fromLog('log-to-text', 'text'), must: 0.25, goal: 0.4 }
export const logToJsonl: Bench = { ...fromLog('log-to-jsonl', 'json'), must: 0.07, goal: 0.1 }

/** tail → log → JSON lines, all of it, against rsyslog copying the same file line by line. */
export const tailToJsonl: Bench = {
  name: 'tail-to-jsonl',
  unit: 'MB/s',
  against: 'rsyslog, direct queue',
  must: 1,
  goal: 1.5,
  open: async context => {
    const input = await makeInput(context)
    const peer = existsSync('/usr/sbin/rsyslogd') ? () => rsyslog(context, input) : undefined
    return against(context, input, peer, () =>
      pipeline(context, { source: input.path, sink: sinkTo(context, 'json'), fresh: true }),
    )
  },
}

/** The main job, file → log → objects in a folder, exactly once against at least once. */
export const eosOverhead: Bench = {
  name: 'eos-overhead',
  unit: 'MB/s',
  against: 'the same at least once',
  must: 0.8,
  goal: 0.9,
  open: async context => {
    const input = await makeInput(context)
    const objects = `type: s3, store.url: ${join(context.directory, 'out')}, format: text, compression: none`
    const job = (exactlyOnce: 'enabled' | 'disabled') => () =>
      pipeline(context, { source: input.path, sink: objects, fresh: true, exactlyOnce })
    return against(context, input, job('disabled'), job('enabled'))
  },
}

interface Input {
  readonly path: string
  readonly bytes: number
}

/** The sink alone: the log is filled once, the sink starts over under a new name each time. */
function fromLog(name: string, format: 'text' | 'json'): Omit<Bench, 'must' | 'goal'> {
  return {
    name,
    unit: 'MB/s',
    against: 'cp',
    open: async context => {
      const input = await makeInput(context)
      await pipeline(context, { source: input.path, fresh: true })
      let turn = 0
      return against(context, input, copyOf(context, input), () =>
        pipeline(context, {
          source: input.path,
          sink: sinkTo(context, format),
          sinkName: `sink${turn++}`,
          fresh: false,
        }),
      )
    },
  }
}

function against(
  context: BenchContext,
  input: Input,
  theirs: (() => Promise<void>) | undefined,
  ours: () => Promise<void>,
): Sides {
  const rate = async (work: () => Promise<void>) => {
    const started = performance.now()
    await work()
    return input.bytes / 1e6 / ((performance.now() - started) / 1000)
  }
  const clean = () => rm(join(context.directory, 'out'), { recursive: true, force: true })
  return {
    ours: async () => {
      await clean()
      return rate(ours)
    },
    theirs:
      theirs === undefined
        ? undefined
        : async () => {
            await clean()
            return rate(theirs)
          },
    close: clean,
  }
}

async function makeInput({ directory, bytes }: BenchContext): Promise<Input> {
  const path = join(directory, 'access.log')
  const written = await writeAccessLog(path, bytes, SEED)
  return { path, bytes: written.bytes }
}

function copyOf({ directory }: BenchContext, input: Input): () => Promise<void> {
  return async () => {
    await mkdir(join(directory, 'out'), { recursive: true })
    await run('cp', [input.path, join(directory, 'out', 'copy')])
  }
}

function sinkTo({ directory }: BenchContext, format: string): string {
  const name = format === 'text' ? 'lines.txt' : 'lines.jsonl'
  return `type: file, file: ${join(directory, 'out', name)}, format: ${format}`
}

/** One pipeline to its end, in this process: start-up of Node is not what is measured. */
async function pipeline(
  { directory }: BenchContext,
  options: {
    source: string
    sink?: string
    sinkName?: string
    fresh: boolean
    exactlyOnce?: 'enabled' | 'disabled'
  },
): Promise<void> {
  const dataDir = join(directory, 'data')
  if (options.fresh) await rm(dataDir, { recursive: true, force: true })
  await mkdir(join(directory, 'out'), { recursive: true })
  const yaml = [
    'name: bench',
    `worker: { rest.port: 0, exactly.once.source.support: ${options.exactlyOnce ?? 'enabled'} }`,
    'sources:',
    `  tail: { type: file, paths: [${options.source}], topic: lines, at.end: stop }`,
    ...(options.sink === undefined
      ? []
      : ['sinks:', `  ${options.sinkName ?? 'out'}: { ${options.sink}, topics: [lines] }`]),
  ]
  const file = join(directory, 'bench.yaml')
  await writeFile(file, `${yaml.join('\n')}\n`)
  const running = await startPipeline([file], { dataDir })
  await running.finished
  const failed = (await running.status()).connectors.find(c => c.state !== 'FINISHED')
  await running.stop()
  if (failed !== undefined) throw new Error(`${failed.name} is ${failed.state}: ${failed.tasks[0]?.trace}`)
}

/** rsyslog imfile → omfile with a direct queue and plain lines: until the output has every byte. */
async function rsyslog({ directory }: BenchContext, input: Input): Promise<void> {
  const out = join(directory, 'out')
  const work = join(directory, 'rsyslog')
  await rm(work, { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  await mkdir(work, { recursive: true })
  const target = join(out, 'lines.txt')
  const conf = join(work, 'rsyslog.conf')
  await writeFile(
    conf,
    [
      `global(workDirectory="${work}" maxMessageSize="64k")`,
      'module(load="imfile" mode="inotify")',
      'template(name="raw" type="string" string="%rawmsg%\\n")',
      `ruleset(name="copy" queue.type="direct") { action(type="omfile" file="${target}" template="raw" ioBufferSize="64k" asyncWriting="off") }`,
      `input(type="imfile" file="${input.path}" tag="x" ruleset="copy" readMode="0")`,
    ].join('\n'),
  )
  const child = spawn('/usr/sbin/rsyslogd', ['-n', '-f', conf, '-i', join(work, 'pid')], { stdio: 'ignore' })
  try {
    while (((await stat(target).catch(() => undefined))?.size ?? 0) < input.bytes) {
      if (child.exitCode !== null) throw new Error(`rsyslogd ended with ${child.exitCode}`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  } finally {
    child.kill('SIGKILL')
    await new Promise(resolve => child.once('exit', resolve))
  }
}
