import type pg from 'pg'
import { type Clock, Gate, KtsError, type Logger, sleep } from '../../runtime/api/index.ts'
import { type Connections, closeClient } from './connection.ts'
import { serverError } from './server-error.ts'

/** One connection for small work beside the stream: made when it is first needed, and anew after it broke. */
export class ServiceConnection {
  readonly #connections: Connections
  readonly #clock: Clock
  readonly #stop = new AbortController()
  readonly #gate = new Gate(1)
  #client: pg.Client | undefined

  constructor(connections: Connections, clock: Clock) {
    this.#connections = connections
    this.#clock = clock
  }

  /** One at a time, in the order of asking. Rejects as the connection or the work does. */
  use<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    return this.#gate.pass(async () => {
      const client = this.#client ?? (await this.#connections.regular(this.#stop.signal))
      this.#client = client
      try {
        return await work(client)
      } catch (error) {
        // Whatever it was: the next user gets a session without half a transaction.
        this.#client = undefined
        await closeClient(client, this.#clock)
        throw error
      }
    })
  }

  /** What is being done is cut off. */
  async close(): Promise<void> {
    this.#stop.abort()
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) await closeClient(client, this.#clock)
  }
}

/** Does something again and again, never twice at once. A failure is a warning, told again only after a success. */
export class Periodic {
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(parts: {
    readonly what: string
    readonly everyMs: number
    readonly clock: Clock
    readonly log: Logger
    readonly work: () => Promise<void>
  }) {
    this.#running = this.#run(parts)
  }

  async #run({ what, everyMs, clock, log, work }: ConstructorParameters<typeof Periodic>[0]): Promise<void> {
    let failing = false
    do {
      try {
        await work()
        failing = false
      } catch (error) {
        if (this.#stop.signal.aborted) return
        const message = error instanceof KtsError ? `${what}: ${error.message}` : serverError(error, what).message
        if (failing) log.debug({}, message)
        else log.warn({}, `${message}; it is tried again every ${everyMs} ms`)
        failing = true
      }
    } while (await sleep(clock, everyMs, this.#stop.signal))
  }

  /** Waits for what is being done: close the connection that it uses first. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}
