import { type Logger, nodeFiles, silentLogger, systemClock, systemRandom } from '../../base/index.ts'
import { formatProblem, type WorkerConfig } from '../../runtime/index.ts'
import { loadPipeline } from '../compose.ts'
import { EXIT_FAILED, failureLines, Reported } from '../failure.ts'
import { type Output, processOutput } from '../output.ts'
import { escapeControls } from '../text.ts'

const CHECK_MS = 20_000

/** Throws ConfigError with every problem; with `connect`, exits with 1 when a system does not answer. */
export async function validate(files: readonly string[], options: { connect?: boolean }): Promise<void> {
  const output = processOutput()
  const config = await loadPipeline(files)
  for (const warning of config.warnings) output.note(`${formatProblem(warning)} (warning)`)
  const counts = [
    [config.sources.length, 'source'],
    [config.sinks.length, 'sink'],
    [topicsOf(config).size, 'topic'],
  ] as const
  const what = counts.map(([count, noun]) => `${count} ${noun}${count === 1 ? '' : 's'}`).join(', ')
  output.line(`Valid: ${what} in ${config.files.length === 1 ? config.files[0] : `${config.files.length} files`}`)
  if (options.connect === true && !(await checkAll(config, output))) throw new Reported(EXIT_FAILED)
}

/** Declared ones and those that connectors name. */
function topicsOf({ topics, sources, sinks }: WorkerConfig): ReadonlySet<string> {
  const written = sources.flatMap(source => source.connector.topics(source.options as never))
  const read = sinks.flatMap(sink => sink.common.topics ?? [])
  return new Set([...topics.map(topic => topic.name), ...written, ...read])
}

/** What a check does not fail for and people had better know. */
function warningLogger(say: (message: string) => void): Logger {
  const log: Logger = { ...silentLogger, warn: (_fields, message) => say(escapeControls(message)), child: () => log }
  return log
}

/** One after the other, so that what is printed is in order; all of them, so that everything wrong is told at once. */
async function checkAll(config: WorkerConfig, output: Output): Promise<boolean> {
  let allWell = true
  for (const connector of [...config.sources, ...config.sinks]) {
    const { name, kind } = connector
    const context = {
      connector: name,
      clock: systemClock,
      random: systemRandom,
      files: nodeFiles,
      log: warningLogger(message => output.line(`${output.colours.yellow('warning')} ${kind} ${name}: ${message}`)),
      env: process.env,
      signal: AbortSignal.timeout(CHECK_MS),
    }
    try {
      await connector.connector.check?.(connector.options as never, context)
      output.line(`${output.colours.green('ok')}      ${kind} ${name}`)
    } catch (error) {
      allWell = false
      const [line = ''] = failureLines(error, false)
      output.line(`${output.colours.red('failed')}  ${kind} ${name}: ${line.replace(/^kts-connect: /, '')}`)
    }
  }
  return allWell
}
