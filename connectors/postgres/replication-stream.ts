import type pg from 'pg'
import { type Clock, type Files, KtsError, type Logger, type Timer } from '../../runtime/api/index.ts'
import type { ChangeHandler } from './changes.ts'
import { CopyStream, type Lump } from './copy-stream.ts'
import { formatLsn, type Lsn, readLsn } from './lsn.ts'
import { MessageCursor } from './message-cursor.ts'
import { serverError } from './server-error.ts'
import { Spools } from './spool.ts'
import { Transactions } from './transactions.ts'

export interface ReplicationStreamOptions {
  /** Opens a connection with `replication: 'database'`. The stream ends it. */
  readonly connect: () => Promise<pg.Client>
  readonly slot: string
  readonly publications: readonly string[]
  /** Transactions whose commit record lies below are not told. */
  readonly startLsn: Lsn
  /** As server_version_num: 150004. */
  readonly serverVersion: number
  /** Values in binary form where their type has one. */
  readonly binary: boolean
  /** Also logical messages. */
  readonly messages: boolean
  /** The slot decodes prepared transactions (15 and later). */
  readonly twoPhase: boolean
  /** A folder for transactions that are not committed yet; emptied. */
  readonly scratch: string
  readonly files: Files
  readonly clock: Clock
  readonly log: Logger
  /** Shorter than the server's wal_sender_timeout, with room. */
  readonly statusIntervalMs: number
}

const XLOG_DATA = 0x77
const KEEPALIVE = 0x6b
const STATUS = 0x72
const XLOG_DATA_HEADER = 25
const KEEPALIVE_BYTES = 18
const STATUS_BYTES = 34
/** What is given together while much comes: more than a look at the socket brings. */
const TOGETHER_MS = 10
/**
 * How often the server is asked for its place, at the least. By itself it tells of a stretch without changes for us once in
 * half of wal_sender_timeout, and the slot would hold that stretch.
 */
const ASK_MS = 1000
/** What is durable here is told at once when it lets go of that much WAL. */
const TELL_BYTES = 16 << 20
/** A server that does not read gets no further status on top. */
const UNSENT_MAX = 64 << 10
const EPOCH_2000_MS = 946_684_800_000
const NO_LUMP: Lump = { bytes: Buffer.alloc(0), count: 0, starts: new Int32Array(0), ends: new Int32Array(0) }

/**
 * The changes of a replication slot, in commit order. The server is told on a timer how far we are, also while nobody reads,
 * so a full log does not cost the connection.
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export class ReplicationStream {
  readonly #copy: CopyStream
  readonly #transactions: Transactions
  readonly #options: ReplicationStreamOptions
  readonly #cursor = new MessageCursor()
  #lump: Lump = NO_LUMP
  /** The message of the lump that is next. */
  #next = 0
  #received: Lsn = 0
  #confirmed: Lsn = 0
  /** What the server was told last. */
  #flushed: Lsn
  /** The server has not answered yet: nobody reads, perhaps, and its answers are not to pile up. */
  #asked = false
  #failure: unknown
  #timer: Timer | undefined
  #closed: Promise<void> | undefined
  #reading: Promise<void> = Promise.resolve()

  private constructor(copy: CopyStream, transactions: Transactions, options: ReplicationStreamOptions) {
    this.#copy = copy
    this.#transactions = transactions
    this.#options = options
    this.#flushed = options.startLsn
    this.#keepInTouch()
  }

  /**
   * Rejects with RETRIABLE for a server that is away or a slot that another connection still holds, POSITION_LOST for a slot
   * that is gone or can not go on, CONFIG_INVALID for missing rights.
   */
  static async open(options: ReplicationStreamOptions): Promise<ReplicationStream> {
    if (options.twoPhase && options.serverVersion < 150000) {
      throw new KtsError(
        'CONFIG_INVALID',
        'two-phase decoding: expected PostgreSQL 15 or later; make the slot without it',
      )
    }
    const spools = await Spools.open(options.files, options.scratch)
    const client = await options.connect()
    try {
      const copy = await CopyStream.begin(client, startCommand(options), { clock: options.clock, both: true })
      return new ReplicationStream(copy, new Transactions(spools, options.startLsn, options.twoPhase), options)
    } catch (error) {
      await client.end().catch(() => {})
      throw slotError(serverError(error, `replication slot ${quoted(options.slot)}`), options.slot)
    }
  }

  /**
   * Tells `changes` what has come until it is full or nothing is left; waits for more at most `waitMs`, or until the signal
   * aborts. One at a time. A rejection, of the server (RETRIABLE), the disk or the handler, ends the stream: it is closed and
   * a new one opened from what is durable.
   */
  async read(changes: ChangeHandler, waitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    this.#reading = this.#read(changes, waitMs, signal)
    try {
      await this.#reading
    } catch (error) {
      this.#failure = slotError(error, this.#options.slot)
      throw this.#failure
    }
  }

  /**
   * Everything below is durable with us; sent to the server with the next status update, or at once when it is much. Never
   * goes back.
   */
  confirm(lsn: Lsn): void {
    this.#confirmed = Math.max(this.#confirmed, lsn)
    if (this.#durable - this.#flushed >= TELL_BYTES) this.#sendStatus()
  }

  /**
   * Every change that was committed below this has been told in full: the end of the last commit told, or further where the
   * server said so while none was half told. Never past a prepared transaction that waits; nor is what is confirmed.
   */
  get toldUpTo(): Lsn {
    return this.#transactions.toldUpTo
  }

  /** Sends a last status, ends the connection and removes the scratch files. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#timer?.cancel()
    this.#sendStatus()
    await this.#copy.close()
    await this.#reading.catch(() => {})
    await this.#transactions.close()
  }

  async #read(changes: ChangeHandler, waitMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    let until: number | undefined
    for (;;) {
      const before = this.#next
      if (await this.#tell(changes)) return
      let wait = waitMs
      if (this.#next > before || until !== undefined) {
        until ??= clock.monotonic() + TOGETHER_MS
        wait = this.#copy.busy || this.#transactions.isInside ? until - clock.monotonic() : 0
        if (wait <= 0) return
      }
      if (signal.aborted) return
      const lump = await this.#copy.next(wait, signal)
      if (lump === undefined) throw new KtsError('RETRIABLE', 'the server ended the replication stream')
      this.#lump = lump
      this.#next = 0
      if (lump.count === 0) return
    }
  }

  /** True: the handler is full. */
  async #tell(changes: ChangeHandler): Promise<boolean> {
    for (;;) {
      if (this.#transactions.replaying && !(await this.#transactions.replay(changes))) return true
      const { bytes, starts, ends, count } = this.#lump
      while (this.#next < count) {
        if (changes.full) return true
        const i = this.#next++
        const waiting = this.#message(bytes, starts[i]!, ends[i]!, changes)
        if (waiting !== undefined) await waiting
        if (this.#transactions.takeAgain()) {
          this.#next = i
          return true
        }
        if (waiting !== undefined) break
      }
      if (!this.#transactions.replaying && this.#next >= count) return false
    }
  }

  #message(bytes: Buffer, start: number, end: number, changes: ChangeHandler): void | Promise<void> {
    const kind = bytes[start]
    if (kind === XLOG_DATA && end - start > XLOG_DATA_HEADER) {
      const lsn = readLsn(bytes, start + 1)
      if (lsn > this.#received) this.#received = lsn
      return this.#transactions.accept(bytes, start + XLOG_DATA_HEADER, end, lsn, changes)
    }
    if (kind !== KEEPALIVE || end - start !== KEEPALIVE_BYTES) {
      this.#cursor.reset(bytes, start, end, this.#received)
      throw this.#cursor.wrong('XLogData or a keepalive')
    }
    const walEnd = readLsn(bytes, start + 1)
    this.#received = Math.max(this.#received, walEnd)
    this.#asked = false
    this.#transactions.reached(walEnd)
    if (bytes[end - 1] === 1) this.#sendStatus()
    return undefined
  }

  #keepInTouch(): void {
    this.#timer = this.#options.clock.timer(Math.min(this.#options.statusIntervalMs, ASK_MS), () => {
      this.#sendStatus(true)
      this.#keepInTouch()
    })
  }

  get #durable(): Lsn {
    return Math.min(this.#confirmed, this.#transactions.toldUpTo)
  }

  /** `asks`: the server answers with a keepalive, as soon as it has sent what it has in hand. */
  #sendStatus(asks = false): void {
    if (this.#copy.unsent > UNSENT_MAX) return
    const flushed = this.#durable
    this.#flushed = Math.max(this.#flushed, flushed)
    const status = Buffer.alloc(STATUS_BYTES)
    status[0] = STATUS
    writeInt64(status, 1, Math.max(this.#received, flushed))
    writeInt64(status, 9, flushed)
    writeInt64(status, 17, flushed)
    writeInt64(status, 25, Math.max(0, this.#options.clock.now() - EPOCH_2000_MS) * 1000)
    if (asks && !this.#asked) status[STATUS_BYTES - 1] = 1
    this.#asked ||= asks
    this.#copy.send(status)
  }
}

/**
 * With two-phase from where the slot stands: the PREPARE of a transaction that still waits may lie before our position, and
 * is sent from there alone. What is behind our position is left out here.
 */
function startCommand(options: ReplicationStreamOptions): string {
  const { slot, publications, startLsn, serverVersion, twoPhase } = options
  const version = serverVersion >= 160000 ? 4 : serverVersion >= 150000 ? 3 : 2
  const names = publications.map(quoted).join(',')
  const settings = [
    `proto_version '${version}'`,
    `publication_names '${names.replaceAll("'", "''")}'`,
    "streaming 'on'",
  ]
  if (options.binary) settings.push("binary 'true'")
  if (options.messages) settings.push("messages 'true'")
  if (twoPhase) settings.push("two_phase 'on'")
  const from = formatLsn(twoPhase ? 0 : startLsn)
  return `START_REPLICATION SLOT ${quoted(slot)} LOGICAL ${from} (${settings.join(', ')})`
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The slot itself is the matter where the server says so: by SQLSTATE and place, since its messages are translated. */
function slotError(error: unknown, slot: string): unknown {
  if (!(error instanceof KtsError)) return error
  const { code, routine } = (error.cause ?? {}) as { readonly code?: string; readonly routine?: string }
  const isGone = code === '42704' && routine === 'ReplicationSlotAcquire'
  // Up to PostgreSQL 17, from where a publication is looked for as it was at the place that is decoded.
  if (code === '42704' && routine === 'get_publication_oid')
    return new KtsError(
      'POSITION_LOST',
      `${error.message} at the place where slot ${slot} stands: it was dropped, or made after the slot, and what was changed without it cannot be read. Ways on: snapshot.mode when_needed, or kts-connect delete CONNECTOR --drop-slot and a new start; either way a new slot and a new snapshot`,
      { cause: error },
    )
  // 55000: invalidated, or of another kind. 58P01: a file of its WAL is gone.
  const isUnfit = (code === '55000' && routine !== 'CheckLogicalDecodingRequirements') || code === '58P01'
  if (!isGone && !isUnfit) return error
  const message = `replication slot ${quoted(slot)} cannot go on: ${error.message}; what was committed since its position is lost to it: let a new slot be made, with a new snapshot`
  return new KtsError('POSITION_LOST', message, { cause: error })
}

function writeInt64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  bytes.writeUInt32BE(value % 2 ** 32, at + 4)
}
