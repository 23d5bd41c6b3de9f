import {
  closeAll,
  errorMessage,
  KtsError,
  randomId,
  type SourceBatch,
  type SourceCheckpoint,
  type SourcePart,
  type SourceTask,
  sleep,
  type TaskContext,
  type TaskSignal,
} from '../../runtime/api/index.ts'
import { Background } from './background.ts'
import { closeClient } from './connection.ts'
import { EventBatch, Events } from './events/index.ts'
import { InitialPhase } from './initial-phase.ts'
import type { PostgresOptions } from './options.ts'
import { RewrittenTables } from './rewritten-tables.ts'
import { positionToJson, streamPartition } from './position.ts'
import { openSession, type Session } from './session.ts'
import { dropSlot, dropSlotSql } from './slot.ts'
import { slotHealth, stoppedMessage } from './slot-health.ts'
import { included, readProgress, snapshotTable } from './snapshot/index.ts'
import { StreamPhase } from './stream-phase.ts'
import type { TableInfo } from './table-info.ts'
import { columnCodec } from './types/index.ts'
import { VERSION } from './version.ts'

/** Polls whose memory is waited for: of a long transaction the others are left to the collector. */
const GIVEN_MAX = 64
/** How often it is looked whether the place is durable where the stream begins. */
const LOOK_MS = 10

/** Captures one database: first the rows that there are, then every committed change, each once and in order. */
export class PostgresSourceTask implements SourceTask {
  readonly #session: Session
  readonly #options: PostgresOptions
  readonly #context: TaskContext
  readonly #events: Events
  readonly #batch = new EventBatch()
  readonly #binary: boolean
  readonly #rewritten: RewrittenTables
  #background: Background | undefined
  #tables: readonly TableInfo[]
  /** Tables that came while the initial snapshot was read. */
  #late: { readonly unread: TableInfo[]; readonly streamed: TableInfo[] } = { unread: [], streamed: [] }
  /** Tables that were not captured for a while since then: they count as not read, whatever the snapshot has read of them. */
  readonly #leftEarly = new Set<number>()
  /** Progress of tables that are captured no more, to be taken back with the next checkpoint. */
  #forgotten: SourceCheckpoint[]
  /** Where the stream begins is to be written down. */
  #begins: boolean
  /** That checkpoint, until it is durable. */
  #beginning: SourceCheckpoint | undefined
  #initial: InitialPhase | undefined
  #stream: StreamPhase | undefined
  /** Parts of polls that are not durable yet, with the checkpoint by which they will be known. */
  #given: { readonly parts: readonly SourcePart[]; readonly checkpoint: SourceCheckpoint | undefined }[] = []
  #released: Promise<void> | undefined
  #lost: unknown

  static async open(
    options: PostgresOptions,
    checkpoints: readonly SourceCheckpoint[],
    context: TaskContext,
  ): Promise<PostgresSourceTask> {
    const session = await openSession(options, checkpoints, context)
    try {
      const task = new PostgresSourceTask(session, options, context)
      await task.#begin()
      return task
    } catch (error) {
      await closeClient(session.client, context.clock)
      if (session.exported !== undefined) await closeClient(session.exported.keeper, context.clock)
      throw error
    }
  }

  private constructor(session: Session, options: PostgresOptions, context: TaskContext) {
    const { catalog } = session
    const { lastCommit, commitTime } = session.position
    const { clock, log, random, task } = context
    this.#session = session
    this.#options = options
    this.#context = context
    this.#forgotten = session.stale.map(({ partition }) => ({ partition, position: null }))
    this.#tables = session.tables
    this.#begins = session.plan.stream && !session.resumes
    this.#events = new Events({
      options,
      database: catalog.database,
      task,
      runId: randomId(random),
      version: VERSION,
      packsJson: topic => context.packsJson(topic),
      clock,
      log,
      codecOf: column => columnCodec(column, catalog.types(), options, log),
      types: () => catalog.types(),
      lastCommit: lastCommit === 0 ? undefined : { lsn: lastCommit, time: commitTime },
    })
    // Also finds tables that fall on one topic, before anything of them is written.
    const shapes = session.tables.map(info =>
      this.#events.table(snapshotTable(info, session.generatedColumns).relation, info),
    )
    this.#events.warnOfUnusedMasks()
    const { plan } = session
    this.#rewritten = new RewrittenTables({
      server: options['topic.prefix'],
      checkpoints: session.checkpoints,
      fresh: [...plan.initial, ...plan.live, ...plan.skipped].map(({ oid }) => oid),
      since: session.attachedSince,
      streamed: () => this.#stream?.given,
      again: oid => this.#again(oid),
      log,
    })
    this.#binary = session.position.binary && shapes.every(table => table.binary)
  }

  async #begin(): Promise<void> {
    const { exported } = this.#session
    if (exported !== undefined) {
      const parts = { events: this.#events, batch: this.#batch, binary: this.#binary }
      this.#initial = await InitialPhase.open(this.#session, exported, this.#options, parts, this.#context)
    }
    this.#background = new Background(this.#session, this.#options, this.#context, {
      tables: () => this.#tables,
      rewritten: this.#rewritten,
      added: (oids, streamed) => this.#added(oids, streamed),
      left: oids => this.#left(oids),
      lost: error => {
        this.#lost = error
      },
    })
  }

  async poll(signal: AbortSignal): Promise<SourceBatch | 'idle' | 'finished'> {
    if (this.#released !== undefined) throw await this.#afterRelease()
    if (this.#lost !== undefined) throw this.#reaction(this.#lost)
    // As it was before: with it everything that was asked for until then is to be durable.
    const files = this.#rewritten.checkpoint()
    const polled = await this.#poll(signal).catch(error => {
      throw this.#reaction(error)
    })
    const batch = this.#withNotes(polled, files)
    if (typeof batch === 'string') return batch
    this.#given.push({ parts: batch.parts, checkpoint: batch.checkpoints.at(0) })
    if (this.#given.length > GIVEN_MAX) this.#given.shift()
    return batch
  }

  #withNotes(
    batch: SourceBatch | 'idle' | 'finished',
    files: SourceCheckpoint | undefined,
  ): SourceBatch | 'idle' | 'finished' {
    if (typeof batch === 'string' || batch.checkpoints.length === 0) return batch
    if (files !== undefined) this.#rewritten.written(files)
    // What is forgotten in front, since a table of the same name may have come instead.
    const checkpoints = [...this.#forgotten, ...batch.checkpoints, ...(files === undefined ? [] : [files])]
    this.#forgotten = []
    return { ...batch, checkpoints }
  }

  /**
   * Where the stream begins is written down before anything else: from then on a kill or a cut resumes, and does not begin
   * again, which would never end where connections do not live as long as a part of the snapshot takes.
   */
  async #poll(signal: AbortSignal): Promise<SourceBatch | 'idle' | 'finished'> {
    if (this.#begins) {
      this.#begins = false
      const position = positionToJson(this.#session.position)
      this.#beginning = { partition: streamPartition(this.#options['topic.prefix']), position }
      return { parts: [], checkpoints: [this.#beginning] }
    }
    if (this.#initial?.finished === false) return this.#withoutLeft(await this.#initial.poll(signal))
    const { plan } = this.#session
    if (!plan.stream) return 'finished'
    if (this.#stream === undefined) {
      // A slot that was read, without a position, would be taken for another connector's behind a kill (checkUnread).
      if (this.#beginning !== undefined) {
        await sleep(this.#context.clock, LOOK_MS, signal)
        return 'idle'
      }
      const rewritten = this.#initial?.rewritten ?? []
      await this.#initial?.close()
      this.#initial = undefined
      this.#stream = await this.#openStream(rewritten)
      this.#stream.add(this.#late.unread, this.#late.streamed)
    }
    return this.#stream.poll(signal)
  }

  #withoutLeft(batch: SourceBatch | 'idle'): SourceBatch | 'idle' {
    if (batch === 'idle' || this.#leftEarly.size === 0 || !this.#session.plan.stream) return batch
    const left = [...this.#leftEarly]
    return { ...batch, checkpoints: batch.checkpoints.filter(checkpoint => !this.#isOf(checkpoint, left)) }
  }

  #isOf(checkpoint: SourceCheckpoint, oids: readonly number[]): boolean {
    return readProgress(this.#options['topic.prefix'], [checkpoint]).some(({ of }) => oids.includes(of))
  }

  /** What is lost, a new start reads anew where the mode says so. */
  #reaction(error: unknown): unknown {
    const isLost = error instanceof KtsError && error.code === 'POSITION_LOST'
    if (!isLost || this.#options['snapshot.mode'] !== 'when_needed') return error
    return new KtsError(
      'RETRIABLE',
      `${error.message}; snapshot.mode is when_needed, so the connector begins again and reads the tables anew`,
      { cause: error },
    )
  }

  #openStream(rewritten: readonly TableInfo[]): Promise<StreamPhase> {
    const { plan } = this.#session
    return StreamPhase.open(
      {
        session: this.#session,
        plan: { live: [...plan.live, ...rewritten], skipped: plan.skipped },
        options: this.#options,
        checkpoints: this.#session.checkpoints,
        events: this.#events,
        batch: this.#batch,
        discarded: new EventBatch(),
        binary: this.#binary,
        context: this.#context,
        left: oid => this.#left([oid]),
        truncated: (oid, xid) => this.#rewritten.truncated(oid, xid),
      },
      () => this.#tables,
    )
  }

  committed(checkpoints: readonly SourceCheckpoint[]): void {
    this.#stream?.committed(checkpoints)
    const durable = new Set(checkpoints)
    if (this.#beginning !== undefined && durable.has(this.#beginning)) this.#beginning = undefined
    const last = this.#given.findLastIndex(({ checkpoint }) => checkpoint !== undefined && durable.has(checkpoint))
    for (const { parts } of this.#given.splice(0, last + 1)) this.#batch.giveBack(parts)
  }

  async signal(signal: TaskSignal): Promise<string> {
    if (this.#stream !== undefined) return this.#stream.signal(signal)
    throw new KtsError(
      'NOT_RUNNING',
      `signal ${signal.type}: expected a connector that streams, got one whose initial snapshot is not over yet; send it again then`,
    )
  }

  paused(paused: boolean): void {
    const { log } = this.#context
    const slot = this.#options['slot.name']
    if (!paused || this.#released !== undefined) return
    if (this.#options['log.disk.full.policy'] === 'block') {
      log.warn(
        { slot },
        `the log is at its disk reserve: slot ${slot} holds the database's WAL until there is room again (log.disk.full.policy: block)`,
      )
      return
    }
    log.error(
      { slot },
      `the log is at its disk reserve: slot ${slot} is released, as log.disk.full.policy says; changes from now on are lost to it, and a new snapshot is needed`,
    )
    this.#context.report({ slot: `${slot}, released at the disk reserve` })
    this.#released = this.#release().catch(error =>
      log.error(
        { slot },
        `slot ${slot} could not be dropped: ${errorMessage(error)}; drop it by hand: ${dropSlotSql(slot)}`,
      ),
    )
  }

  async #release(): Promise<void> {
    const stream = this.#stream
    this.#stream = undefined
    await stream?.close()
    await dropSlot(this.#session.client, this.#options['slot.name'])
  }

  async #afterRelease(): Promise<KtsError> {
    await this.#released
    return new KtsError(
      'RETRIABLE',
      `slot ${this.#options['slot.name']} was released when the log was at its disk reserve`,
    )
  }

  async close(): Promise<void> {
    const { clock } = this.#context
    try {
      await closeAll([this.#background, this.#initial, this.#stream].flatMap(part => part ?? []))
      await this.#leaveSlot()
    } finally {
      await closeClient(this.#session.client, clock)
    }
  }

  /** Drops the slot where that is wanted, and never because a task failed; else says what it holds from now on. */
  async #leaveSlot(): Promise<void> {
    const { log, signal } = this.#context
    const { client } = this.#session
    const slot = this.#options['slot.name']
    try {
      if (signal.aborted && this.#options['slot.drop.on.stop'] && (await dropSlot(client, slot)))
        log.info({ slot }, `dropped slot ${slot}, as slot.drop.on.stop says: changes from now on are not kept for it`)
      const health = await slotHealth(client, slot)
      if (health !== undefined) log.info({ slot, held: health.held }, stoppedMessage(health))
    } catch (error) {
      log.debug({ slot }, `what slot ${slot} holds could not be asked: ${errorMessage(error)}`)
    }
  }

  /** Changes of these are no longer told: should they come back, they are new. */
  #left(oids: readonly number[]): void {
    const left = this.#tables.filter(table => oids.includes(table.oid))
    if (left.length === 0) return
    const names = left.map(({ schema, table }) => `${schema}.${table}`)
    this.#context.log.info({ tables: names }, 'tables are no longer among the captured ones')
    this.#tables = this.#tables.filter(table => !left.includes(table))
    const server = this.#options['topic.prefix']
    const gone = left.map(({ oid }) => oid)
    const before = this.#session.checkpoints.filter(checkpoint => this.#isOf(checkpoint, gone)).map(c => c.partition)
    const now = left.map(({ schema, table }) => ({ server, schema, table }))
    this.#forgotten.push(...[...before, ...now].map(partition => ({ partition, position: null })))
    if (this.#stream !== undefined) {
      this.#stream.forget(left)
      return
    }
    for (const oid of gone) this.#leftEarly.add(oid)
    const isHere = ({ oid }: TableInfo) => !gone.includes(oid)
    this.#late = { unread: this.#late.unread.filter(isHere), streamed: this.#late.streamed.filter(isHere) }
  }

  /** Has a table read again beside the stream; false where that is not done. */
  #again(oid: number): boolean {
    const tables = this.#tables.filter(table => table.oid === oid)
    const isStandby = this.#session.catalog.server.standby
    if (this.#stream === undefined || this.#options['snapshot.mode'] === 'no_data' || isStandby) return false
    const wanted = tables.filter(included(this.#options['snapshot.include.collection.list']))
    this.#stream.add(wanted, [])
    return wanted.length > 0
  }

  async #added(oids: readonly number[], streamedOids: readonly number[]): Promise<void> {
    const found = await Promise.all(oids.map(oid => this.#session.catalog.table(oid)))
    const tables = found.filter(table => table !== undefined)
    const names = tables.map(t => `${t.schema}.${t.table}`)
    this.#context.log.info({ tables: names }, 'tables are new among the captured ones')
    this.#tables = [...this.#tables, ...tables]
    const streamed = tables.filter(({ oid }) => streamedOids.includes(oid))
    const unread = tables.filter(table => !streamed.includes(table))
    if (this.#stream !== undefined) this.#stream.add(unread, streamed)
    else {
      this.#late.unread.push(...unread)
      this.#late.streamed.push(...streamed)
    }
  }
}
