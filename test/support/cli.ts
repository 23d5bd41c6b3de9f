import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { packageRoot } from '../../cli/package-root.ts'

/** The built command: `npm test` builds it first, as a user would run it. */
export const CLI = fileURLToPath(new URL('dist/cli/main.js', packageRoot()))

export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** Standard input; closed at once without it. */
  readonly input?: string | Uint8Array
  /** Another user to run as; only root may. */
  readonly uid?: number
}

/** A command under way. */
export class RunningCli {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''

  constructor(args: readonly string[], options: CliOptions) {
    if (!existsSync(CLI)) throw new Error(`${CLI} is missing: run \`npm run build\` first`)
    const { PATH, HOME } = process.env
    // Nothing of the caller's surroundings but these: a test must not depend on them.
    const env = { PATH, HOME, ...options.env }
    this.#child = spawn(process.execPath, [CLI, ...args], {
      cwd: options.cwd,
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    })
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.#child.stdin.on('error', () => {})
    this.#child.stdin.end(options.input)
    this.ended = new Promise(resolve => {
      this.#child.on('close', code => resolve({ code, stdout: this.stdout, stderr: this.stderr }))
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Resolves as soon as standard output matches; rejects when the command ends first. */
  async said(pattern: RegExp): Promise<RegExpExecArray> {
    let over = false
    void this.ended.then(() => {
      over = true
    })
    for (;;) {
      const match = pattern.exec(this.stdout)
      if (match !== null) return match
      if (over) throw new Error(`ended without saying ${pattern}:\n${this.stdout}${this.stderr}`)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  /** Ends it whatever state it is in. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }
}

export function runCli(args: readonly string[], options: CliOptions): Promise<Ended> {
  return new RunningCli(args, options).ended
}
