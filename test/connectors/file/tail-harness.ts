import { fileSource } from '../../../connectors/file/source.ts'
import {
  type Clock,
  type Files,
  ManualClock,
  type SourceCheckpoint,
  type SourceTask,
} from '../../../runtime/api/index.ts'
import { type TestContext, testContext } from '../../support/task-context.ts'

export const DEFAULTS = {
  paths: ['/logs/app.log'],
  exclude: [],
  topic: 'lines',
  'start.position': 'beginning',
  'at.end': 'follow',
  'max.line.bytes': 1_000_000,
  'batch.bytes': 1 << 20,
  'poll.interval.ms': 1000,
  'rotate.wait.ms': 5000,
}

/** A `file` source that is run by hand: keeps what was delivered, and the checkpoints as a log would. */
export class Tail {
  readonly context: TestContext
  /** Lines as latin1, by file id, in order of delivery. */
  readonly byFile = new Map<string, string[]>()
  readonly lines: string[] = []
  readonly checkpoints = new Map<string, SourceCheckpoint>()
  readonly #options: object
  #task: SourceTask | undefined

  constructor(options: object, given: { files?: Files; clock?: Clock; seed?: number } = {}) {
    this.#options = { ...DEFAULTS, ...options }
    this.context = testContext(given)
  }

  async start(): Promise<void> {
    this.#task = await fileSource.open(this.#options as never, [...this.checkpoints.values()], this.context)
  }

  /** As a kill does when nothing is under way; checkpoints stay. */
  async stop(): Promise<void> {
    await this.#task?.close()
    this.#task = undefined
  }

  async poll(signal = new AbortController().signal): Promise<'batch' | 'idle' | 'finished'> {
    const { clock } = this.context
    let settled = false
    const polling = this.#task!.poll(signal).finally(() => {
      settled = true
    })
    polling.catch(() => {})
    // Files in memory need no time: the clock moves only while the task waits for it.
    const turn = () => new Promise(resolve => setImmediate(resolve))
    if (clock instanceof ManualClock) for (await turn(); !settled; await turn()) await clock.advance(250)
    const batch = await polling
    if (typeof batch === 'string') return batch
    for (const part of batch.parts) {
      if (part.kind !== 'packed') throw new Error('expected packed parts')
      const lines = this.byFile.get(part.orderKey!) ?? []
      this.byFile.set(part.orderKey!, lines)
      for (let i = 0; i < part.packed.count; i++) {
        const line = part.packed.value(i)!.toString('latin1')
        lines.push(line)
        this.lines.push(line)
      }
    }
    for (const checkpoint of batch.checkpoints) {
      const key = JSON.stringify(checkpoint.partition)
      if (checkpoint.position === null) this.checkpoints.delete(key)
      else this.checkpoints.set(key, checkpoint)
    }
    return 'batch'
  }

  /** Polls until there is nothing more, with at least one look at every file behind the last record. */
  async drain(): Promise<'idle' | 'finished'> {
    for (let idle = 0; idle < 2; ) {
      const polled = await this.poll()
      if (polled === 'finished') return polled
      idle = polled === 'idle' ? idle + 1 : 0
    }
    return 'idle'
  }

  /** Polls until `done`, on a real clock. */
  async until(done: () => boolean, ms = 30_000): Promise<void> {
    const end = performance.now() + ms
    while (!done()) {
      if (performance.now() > end) throw new Error(`not reached within ${ms} ms; ${this.lines.length} lines so far`)
      await this.poll()
    }
  }
}

/** Appends to, and otherwise changes, files as a program and its log rotation do. */
export class Writer {
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  async append(path: string, text: string): Promise<void> {
    const file = await this.#files.open(path, 'write')
    const { size } = await file.stat()
    await file.write([Buffer.from(text, 'latin1')], size)
    await file.close()
  }

  async overwrite(path: string, text: string): Promise<void> {
    const file = await this.#files.open(path, 'write')
    await file.truncate(0)
    await file.write([Buffer.from(text, 'latin1')], 0)
    await file.close()
  }

  async copy(from: string, to: string): Promise<void> {
    const file = await this.#files.open(from, 'read')
    const bytes = Buffer.alloc((await file.stat()).size)
    await file.read(bytes, 0, bytes.length, 0)
    await file.close()
    await this.overwrite(to, bytes.toString('latin1'))
  }

  async copyTruncate(from: string, to: string): Promise<void> {
    await this.copy(from, to)
    await this.overwrite(from, '')
  }
}
