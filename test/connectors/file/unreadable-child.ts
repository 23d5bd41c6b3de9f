import { fileSource } from '../../../connectors/file/source.ts'
import { errorMessage, systemClock } from '../../../runtime/api/index.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { testContext } from '../../support/task-context.ts'
import { DEFAULTS } from './tail-harness.ts'

// Reads a folder's logs as whoever it runs as, and prints what came of it.
const options = { ...DEFAULTS, paths: [`${process.argv[2]}/*.log`], 'poll.interval.ms': 20 } as never
const log = recordingLogger()
const context = { ...testContext({ clock: systemClock }), log }
const task = await fileSource.open(options, [], context)
const lines: string[] = []
for (let idle = 0; idle < 2; ) {
  const batch = await task.poll(new AbortController().signal)
  if (typeof batch === 'string') idle++
  else for (const part of batch.parts) if (part.kind === 'packed') lines.push(String(part.packed.value(0)))
}
await task.close()
const check = await fileSource.check!(options, context).then(() => undefined, errorMessage)
const warnings = log.lines.map(({ message }) => message)
console.log(JSON.stringify({ lines, counts: context.counts, warnings, check }))
