import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** `kts-connect start` from dist/, as a process of its own; what it says is appended to a file. */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #logPath: string
  /** How it ended: code, or null with a signal. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  running = true

  constructor(config: string, logPath: string) {
    this.#logPath = logPath
    const output = openSync(logPath, 'a')
    this.#child = spawn(process.execPath, [MAIN, 'start', config], { stdio: ['ignore', output, output] })
    closeSync(output)
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('exit', (code, signal) => {
        this.running = false
        resolve({ code, signal })
      })
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  signal(signal: 'SIGKILL' | 'SIGTERM'): void {
    this.#child.kill(signal)
  }

  /** The end of what it said. */
  lastWords(): string {
    return readFileSync(this.#logPath, 'utf8').slice(-2000)
  }
}
