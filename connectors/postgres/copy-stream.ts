import type { Socket } from 'node:net'
import type pg from 'pg'
import { BufferPool, type Clock, KtsError, sleep } from '../../runtime/api/index.ts'
import { Alarm } from './alarm.ts'
import { ASIDE, COPY_DATA, COPY_DONE, checkLength, HEADER_BYTES } from './copy-message.ts'
import { takeReads } from './lump-socket.ts'
import { serverError } from './server-error.ts'

/** Payloads of CopyData messages: `bytes` from `starts[i]` to `ends[i]`. Valid until the next call. */
export interface Lump {
  readonly bytes: Buffer
  readonly count: number
  readonly starts: Int32Array
  readonly ends: Int32Array
}

const NOTHING = Buffer.alloc(0)
const COPY_DONE_MESSAGE = Buffer.from([COPY_DONE, 0, 0, 0, 4])

const BUFFER_BYTES = 2 << 20
/** Of streams that are over, for the next ones: a snapshot has one for every two megabytes of a table. */
const buffers = new BufferPool(BUFFER_BYTES, 4)
/** The socket waits once so much has come: what one read brings on top has room. */
const AHEAD_BYTES = BUFFER_BYTES - (64 << 10)
/**
 * The same for rows, of which the server always has more than we can take: what else the process has to do, such as the
 * steps of a commit, has its turn between two lumps, and the disk would wait for us if they were large.
 */
const ROWS_BYTES = 64 << 10
/** A buffer that one large message made larger is let go. */
const KEPT_BYTES = 8 << 20
/**
 * A server writes every message by itself, and to wake a reader for each costs both sides more than the message. So where
 * much comes (above this rate over a window), the socket rests for a while between two looks; otherwise what comes is
 * given at once. It also does not rest where a look brought a good lump, since then the server writes while we work; nor
 * on a unix socket, which holds some 300 messages and would be full before the rest is over.
 */
const BUSY_BYTES_PER_MS = 4096
const WINDOW_MS = 10
const NAP_MS = 1
const GOOD_LUMP_BYTES = 8192

/** How long the server may take over the end of a COPY before the connection is cut. */
const CLOSE_MS = 1000

/**
 * Takes over a client's socket while a COPY runs (COPY TO STDOUT, START_REPLICATION), because `pg` gives every message an
 * object of its own and delivers without back-pressure. Everything that is not CopyData goes to `pg`'s own parser, in whole
 * messages, so the client is as before once the COPY is over.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export class CopyStream {
  readonly #client: pg.Client
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #both: boolean
  readonly #naps: boolean
  /** What listened before us: the parser of `pg`. */
  readonly #parsers: readonly ((chunk: Buffer) => void)[]
  readonly #onData = (chunk: Buffer) => this.#take(chunk)
  readonly #highWaterMark: number
  /** The socket waits once so much has come. */
  #bound: number
  #copying = false
  #over = false
  /** Set once the statement has ended, well or not. */
  #outcome: { readonly error: KtsError | undefined } | undefined
  #ended: Promise<void> = Promise.resolve()
  #buffer: Buffer = buffers.take()
  #from = 0
  #to = 0
  #starts = new Int32Array(4096)
  #ends = new Int32Array(4096)
  #wake: (() => void) | undefined
  #signal: AbortSignal | undefined
  readonly #onAbort = () => this.#wake?.()
  readonly #alarm: Alarm
  #windowStart = 0
  #windowBytes = 0
  #busy = false
  #lastDrain = 0
  #lastCame = 0

  private constructor(client: pg.Client, options: { clock: Clock; both: boolean }) {
    this.#client = client
    this.#socket = client.connection.stream as Socket
    this.#clock = options.clock
    this.#alarm = new Alarm(options.clock, () => this.#wake?.())
    this.#both = options.both
    this.#bound = options.both ? AHEAD_BYTES : ROWS_BYTES
    this.#naps = this.#socket.remoteAddress !== undefined
    this.#parsers = this.#socket.listeners('data') as ((chunk: Buffer) => void)[]
    this.#highWaterMark = readableState(this.#socket).highWaterMark
  }

  /** Rejects with the server's error, by `serverError`. The client must have nothing else under way. */
  static async begin(client: pg.Client, sql: string, options: { clock: Clock; both: boolean }): Promise<CopyStream> {
    const stream = new CopyStream(client, options)
    await stream.#begin(sql)
    return stream
  }

  async #begin(sql: string): Promise<void> {
    // Without a listener the loss of an idle connection would end the process; every use of the client tells of it.
    if (!this.#client.listeners('error').includes(ignore)) this.#client.on('error', ignore)
    const event = this.#both ? 'replicationStart' : 'copyOutResponse'
    const onCopy = () => {
      this.#copying = true
    }
    this.#client.connection.once(event, onCopy)
    for (const parser of this.#parsers) this.#socket.off('data', parser)
    // A paused socket stops to read at the next chunk, and not after another 16-64 KiB of small ones.
    readableState(this.#socket).highWaterMark = 1
    this.#socket.on('data', this.#onData)
    takeReads(this.#socket, this.#onData)
    this.#ended = this.#client.query(sql).then(
      () => this.#end(undefined),
      error => this.#end(serverError(error, 'reading from the server')),
    )
    const started = new Promise<void>(resolve => {
      this.#wake = resolve
    })
    await started
    this.#wake = undefined
    this.#client.connection.off(event, onCopy)
    if (this.#copying) return
    throw this.#outcome?.error ?? new KtsError('POSTGRES_FAILED', `expected a statement that copies out, got: ${sql}`)
  }

  /** True while so much comes that the next look waits some milliseconds for more. */
  get busy(): boolean {
    return this.#busy
  }

  /**
   * What has come; undefined at the end of the COPY, when the client is usable for queries again. Waits at most `waitMs`, or
   * until the signal aborts; an empty lump then. Rejects with the server's error, RETRIABLE for a connection that is gone.
   */
  async next(waitMs: number, signal?: AbortSignal): Promise<Lump | undefined> {
    if (!this.#both && this.#to - this.#from >= ROWS_BYTES) await this.#pauseFilled()
    this.#compact()
    let lump = this.#scan()
    if (lump.count > 0) return lump
    const until = this.#clock.monotonic() + waitMs
    if (this.#busy && this.#naps && this.#lastCame < GOOD_LUMP_BYTES && !this.#over) {
      const rest = this.#lastDrain + NAP_MS - this.#clock.monotonic()
      if (rest > 0) await sleep(this.#clock, Math.min(rest, waitMs), signal)
    }
    for (;;) {
      if (this.#over) {
        await this.#ended
        if (this.#outcome?.error !== undefined) throw this.#outcome.error
        this.#release()
        return undefined
      }
      if (this.#outcome !== undefined) throw this.#outcome.error ?? unexpectedEnd()
      const rest = until - this.#clock.monotonic()
      if (lump.count > 0 || signal?.aborted) return lump
      const came = await this.#drain(Math.max(0, rest), signal)
      lump = this.#scan()
      if (lump.count > 0) return lump
      if (!came && rest <= 0 && !this.#over && this.#outcome === undefined) return lump
    }
  }

  /** Takes rows before they are asked for, as many as fit into a buffer. */
  fill(): void {
    if (this.#over || this.#outcome !== undefined) return
    this.#bound = AHEAD_BYTES
    this.#socket.resume()
  }

  /** Rows that are here already come in lumps as well, with a turn of the loop between them. */
  #pauseFilled(): Promise<void> {
    if (!this.#over) this.#socket.pause()
    this.#bound = ROWS_BYTES
    return new Promise(resolve => setImmediate(resolve))
  }

  /** CopyData to the server. */
  send(payload: Buffer): void {
    if (this.#over || this.#outcome !== undefined || !this.#socket.writable) return
    const header = Buffer.allocUnsafe(HEADER_BYTES)
    header[0] = COPY_DATA
    header.writeUInt32BE(payload.length + 4, 1)
    this.#socket.write(Buffer.concat([header, payload]))
  }

  /** Bytes that the system has not taken yet: a server that does not read is not sent more and more. */
  get unsent(): number {
    return this.#socket.writableLength
  }

  /**
   * Ends it: a COPY that was read to its end leaves the client to its owner, everything else ends the connection, in good
   * order where the server goes along.
   */
  async close(): Promise<void> {
    if (this.#over && !this.#both) return
    if (this.#both && !this.#over && this.#outcome === undefined && this.#socket.writable) {
      this.#socket.write(COPY_DONE_MESSAGE)
      await this.#discardUntilEnd()
    }
    if (!this.#over) this.#giveBack(NOTHING)
    const polite = this.#client.end().catch(ignore)
    if (this.#outcome !== undefined) await Promise.race([polite, sleep(this.#clock, CLOSE_MS)])
    this.#socket.destroy()
    await this.#ended
    this.#release()
  }

  /** Nobody reads the last lump any more. */
  #release(): void {
    buffers.give(this.#buffer)
    this.#buffer = NOTHING
    this.#from = 0
    this.#to = 0
  }

  async #discardUntilEnd(): Promise<void> {
    const until = this.#clock.monotonic() + CLOSE_MS
    try {
      for (;;) {
        const rest = until - this.#clock.monotonic()
        if (rest <= 0 || (await this.next(rest)) === undefined) return
      }
    } catch {
      // It ends either way.
    }
  }

  #end(error: KtsError | undefined): void {
    this.#outcome = { error }
    this.#alarm.cancel()
    if (!this.#over) this.#giveBack(NOTHING)
    this.#wake?.()
  }

  #take(chunk: Buffer): void {
    let rest = chunk
    if (!this.#copying) {
      // Byte by byte, until pg says that the COPY has begun: then nothing of what is behind lies in its parser.
      let at = 0
      while (at < chunk.length && !this.#copying && !this.#over) {
        const byte = chunk.subarray(at, ++at)
        for (const parser of this.#parsers) parser(byte)
      }
      rest = chunk.subarray(at)
      if (this.#over) {
        for (const parser of this.#parsers) parser(rest)
        return
      }
      if (!this.#copying) return
      this.#socket.pause()
      this.#wake?.()
    }
    if (rest.length === 0) return
    this.#room(rest.length)
    this.#to += rest.copy(this.#buffer, this.#to)
    this.#windowBytes += rest.length
    if (this.#to - this.#from >= this.#bound) this.#socket.pause()
    // One turn of the loop reads all that waits, chunk after chunk; whoever waits is woken behind the last.
    if (this.#wake !== undefined) setImmediate(() => this.#wake?.())
  }

  /** Reads until something has come; false: nothing did within `waitMs`. */
  async #drain(waitMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    const before = this.#to
    this.#listenTo(signal)
    await new Promise<void>(resolve => {
      this.#wake = resolve
      this.#alarm.set(waitMs)
      this.#socket.resume()
    })
    this.#wake = undefined
    this.#alarm.silence()
    if (!this.#over) this.#socket.pause()
    this.#judge()
    this.#lastCame = this.#to - before
    return this.#lastCame > 0
  }

  /** Once for a signal that comes again and again: at a row per look, listeners are a good part of the work. */
  #listenTo(signal: AbortSignal | undefined): void {
    if (signal === this.#signal) return
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  #judge(): void {
    const now = this.#clock.monotonic()
    this.#lastDrain = now
    const passed = now - this.#windowStart
    if (passed < WINDOW_MS) return
    this.#busy = this.#windowBytes / passed > BUSY_BYTES_PER_MS
    this.#windowStart = now
    this.#windowBytes = 0
  }

  /** Finds the whole messages of the buffer, up to the first that is not of the COPY. */
  #scan(): Lump {
    const bytes = this.#buffer
    let at = this.#from
    let count = 0
    const until = this.#both ? Number.POSITIVE_INFINITY : this.#from + ROWS_BYTES
    while (!this.#over && this.#to - at >= HEADER_BYTES && at < until) {
      const length = bytes.readUInt32BE(at + 1)
      const kind = bytes[at]!
      checkLength(kind, length)
      const end = at + 1 + length
      if (kind !== COPY_DATA && !ASIDE.has(kind)) {
        // pg's parser takes an error or end from its first byte on, and all that follows.
        this.#giveBack(Buffer.from(bytes.subarray(at, this.#to)))
        break
      }
      if (end > this.#to) break
      if (kind === COPY_DATA) {
        if (count === this.#starts.length) this.#moreSlots()
        this.#starts[count] = at + HEADER_BYTES
        this.#ends[count++] = end
      } else {
        const aside = Buffer.from(bytes.subarray(at, end))
        for (const parser of this.#parsers) parser(aside)
      }
      at = end
    }
    this.#from = at
    return { bytes, count, starts: this.#starts, ends: this.#ends }
  }

  /** The socket is pg's again, and `rest`, which has come but is not of the COPY. */
  #giveBack(rest: Buffer): void {
    this.#over = true
    takeReads(this.#socket, undefined)
    this.#socket.off('data', this.#onData)
    readableState(this.#socket).highWaterMark = this.#highWaterMark
    for (const parser of this.#parsers) {
      this.#socket.on('data', parser)
      if (rest.length > 0) parser(rest)
    }
    this.#socket.resume()
  }

  /** Moves the beginning of a message that is not whole yet to the front. */
  #compact(): void {
    const rest = this.#to - this.#from
    // Many rows that wait are not moved for each lump.
    if (!this.#both && rest > this.#from) return
    if (this.#buffer.length > KEPT_BYTES && rest < BUFFER_BYTES) {
      const smaller = Buffer.allocUnsafeSlow(BUFFER_BYTES)
      this.#buffer.copy(smaller, 0, this.#from, this.#to)
      this.#buffer = smaller
    } else if (this.#from > 0) this.#buffer.copyWithin(0, this.#from, this.#to)
    this.#from = 0
    this.#to = rest
  }

  /** Grows by what has come, never by what a header claims. */
  #room(bytes: number): void {
    if (this.#to + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#to + bytes))
    this.#buffer.copy(larger, 0, 0, this.#to)
    this.#buffer = larger
  }

  #moreSlots(): void {
    const grow = (old: Int32Array<ArrayBuffer>) => {
      const larger = new Int32Array(old.length * 2)
      larger.set(old)
      return larger
    }
    this.#starts = grow(this.#starts)
    this.#ends = grow(this.#ends)
  }
}

/** The one thing that Node keeps to itself: a socket of pg's making has 16 or 64 KiB. */
function readableState(socket: Socket): { highWaterMark: number } {
  return (socket as unknown as { _readableState: { highWaterMark: number } })._readableState
}

function unexpectedEnd(): KtsError {
  return new KtsError('RETRIABLE', 'COPY from the server: the statement ended before its data did')
}

function ignore(): void {}
