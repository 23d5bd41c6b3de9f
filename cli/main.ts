#!/usr/bin/env node
import { CommanderError } from 'commander'
import { exitCodeOf, failureLines, Reported } from './failure.ts'
import { buildProgram } from './program.ts'

// What the log and the exports hold is the owner's business alone.
process.umask(0o077)
// The AWS SDK warns on stderr that it will leave Node 20 behind; the version here is pinned and supports it.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', error => {
  if ('code' in error && error.code === 'EPIPE') process.exit(0)
  throw error
})

function fail(error: unknown): never {
  const verbose = process.argv.includes('--verbose')
  if (!(error instanceof Reported)) for (const line of failureLines(error, verbose)) process.stderr.write(`${line}\n`)
  process.exit(exitCodeOf(error))
}

process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)

try {
  // Not commander's own: that wants the version before it knows whether it is asked for, and so at every start.
  if (process.argv[2] === '--version' || process.argv[2] === '-V') {
    process.stdout.write(`${(await import('../runtime/index.ts')).VERSION}\n`)
    process.exit(0)
  }
  await buildProgram().parseAsync()
} catch (error) {
  // Commander has already said what is wrong with the arguments.
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2)
  fail(error)
}
