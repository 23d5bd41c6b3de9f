import { KtsError } from '../../runtime/api/index.ts'
import type { ChangeHandler, CommittedTransaction } from './changes.ts'
import { Definitions } from './definitions.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { MessageCursor } from './message-cursor.ts'
import * as m from './pgoutput.ts'
import type { Spool, SpoolReader, Spools } from './spool.ts'

interface Open {
  xid: number
  commitLsn: Lsn
  commitTime: number
  origin: CommittedTransaction['origin']
  /** Its changes are not told: it lies before the start. */
  readonly behind: boolean
  /** Once a change of it was told, so one without changes is not told at all. */
  told: CommittedTransaction | undefined
}

interface Replay {
  readonly spool: Spool
  readonly reader: SpoolReader
  readonly open: Open
  readonly endLsn: Lsn
}

/**
 * Makes of the server's messages whole transactions in commit order. An ordinary one comes after its commit and goes
 * straight through. One that is streamed while it runs, or prepared (two-phase), is spooled and told when its commit comes;
 * what its subtransactions rolled back is left out. A transaction without changes is not told.
 *
 * A logical message that is not transactional is told when it is decoded, which is between transactions: the server sends
 * an ordinary transaction in one piece, and while one is streamed its handler has not heard of it yet.
 */
export class Transactions {
  readonly #spools: Spools
  readonly #twoPhase: boolean
  readonly #startLsn: Lsn
  readonly #output = new m.Pgoutput()
  readonly #cursor = new MessageCursor()
  /** Of all transactions that were not streamed, and of those streamed that were told. */
  readonly #definitions = new Definitions()
  #arrivals = 0
  #told: Lsn
  /** An ordinary transaction that has begun and not ended. */
  #open: Open | undefined
  /** Where messages go now: a block of a streamed transaction, or one that is being prepared. */
  #block: Spool | undefined
  readonly #streamed = new Map<number, Spool>()
  readonly #prepared = new Map<number, { readonly spool: Spool; readonly lsn: Lsn }>()
  #replay: Replay | undefined

  /** Transactions whose commit record lies below `startLsn` are behind and not told. */
  constructor(spools: Spools, startLsn: Lsn, twoPhase: boolean) {
    this.#spools = spools
    this.#startLsn = startLsn
    // Prepared transactions below the start may come again, and only the server knows from where.
    this.#told = twoPhase ? 0 : startLsn
    this.#twoPhase = twoPhase
  }

  /**
   * Every change committed below was told. Never past a prepared transaction that waits for its end: once more than that is
   * confirmed, the server sends its end alone and never again what it did. With two-phase 0 until the server has sent.
   */
  get toldUpTo(): Lsn {
    let upTo = this.#told
    for (const { lsn } of this.#prepared.values()) upTo = Math.min(upTo, lsn)
    return upTo
  }

  /** True: `replay` before the next message. */
  get replaying(): boolean {
    return this.#replay !== undefined
  }

  /** True, once: the message that was accepted last was not taken, since the handler became full by what comes before it. */
  takeAgain(): boolean {
    const { again } = this.#output
    this.#output.again = false
    return again
  }

  /** In the middle of one: the rest is on its way. */
  get isInside(): boolean {
    return this.#open !== undefined || (this.#block !== undefined && !this.#block.streamed)
  }

  /** A keepalive: the server has nothing to send below `walEnd` that it did not send before this. */
  reached(walEnd: Lsn): void {
    if (!this.isInside && this.#replay === undefined) this.#told = Math.max(this.#told, walEnd)
  }

  /** The next message. With a promise, the one after it waits, and `bytes` must stay. */
  accept(bytes: Buffer, start: number, end: number, lsn: Lsn, changes: ChangeHandler): void | Promise<void> {
    const cursor = this.#cursor
    cursor.reset(bytes, start, end, lsn)
    const type = cursor.u8()
    if (isContent(type)) {
      if (type === m.RELATION) return this.#relation(bytes, start, end, lsn)
      if (this.#block !== undefined) return this.#block.append(lsn, bytes, start, end)
      return this.#content(type, changes)
    }
    switch (type) {
      case m.ORIGIN:
        return this.#origin()
      case m.BEGIN:
        return this.#begin()
      case m.COMMIT:
        return this.#commit(changes)
      case m.STREAM_START:
        return this.#streamStart()
      case m.STREAM_STOP:
        return this.#streamStop()
      case m.STREAM_ABORT:
        return this.#streamAbort()
      case m.STREAM_COMMIT:
        return this.#streamCommit()
      case m.BEGIN_PREPARE:
        return this.#beginPrepare()
      case m.PREPARE:
        return this.#prepare()
      case m.STREAM_PREPARE:
        return this.#streamPrepare()
      case m.COMMIT_PREPARED:
        return this.#commitPrepared()
      case m.ROLLBACK_PREPARED:
        return this.#rollbackPrepared()
      default:
        throw cursor.wrong('a message of logical replication, version 1 to 4')
    }
  }

  /**
   * A definition in a streamed transaction is for that one until its end; any other is for all, as soon as it is sent, also
   * when it is sent in a transaction that is being prepared.
   */
  #relation(bytes: Buffer, start: number, end: number, lsn: Lsn): void | Promise<void> {
    const block = this.#block
    const arrival = ++this.#arrivals
    if (block?.streamed) {
      this.#cursor.u32()
      block.arrivals.set(m.readRelation(this.#cursor).oid, arrival)
      return block.append(lsn, bytes, start, end)
    }
    const definition = { relation: m.readRelation(this.#cursor), arrival }
    this.#definitions.set(definition)
    block?.definitions.set(definition)
  }

  #content(type: number, changes: ChangeHandler): void | Promise<void> {
    const cursor = this.#cursor
    if (type === m.TYPE) return
    if (this.#open === undefined) {
      const message = type === m.MESSAGE ? m.readMessage(cursor) : undefined
      if (message === undefined || message.transactional) throw cursor.wrong('a transaction to be open')
      return message.lsn < this.#startLsn ? undefined : changes.message(message)
    }
    return this.#change(type, this.#open, this.#definitions, changes)
  }

  #change(type: number, open: Open, definitions: Definitions, changes: ChangeHandler): void | Promise<void> {
    if (open.behind) return
    if (open.told === undefined) {
      const { xid, commitLsn, commitTime, origin } = open
      open.told = { xid, commitLsn, commitTime, origin }
      changes.begin(open.told)
      if (changes.full) {
        this.#output.again = true
        return
      }
    }
    return this.#output.change(type, this.#cursor, definitions, changes)
  }

  #origin(): void {
    const origin = m.readOrigin(this.#cursor)
    const of = this.#open ?? this.#block
    if (of === undefined) throw this.#cursor.wrong('a transaction to be open')
    of.origin = origin
  }

  #begin(): void {
    this.#outside()
    const { lsn, time, xid } = m.readBegin(this.#cursor)
    this.#open = this.#committed(lsn, time, xid, undefined)
  }

  #committed(commitLsn: Lsn, commitTime: number, xid: number, origin: Open['origin']): Open {
    return { xid, commitLsn, commitTime, origin, behind: commitLsn < this.#startLsn, told: undefined }
  }

  #commit(changes: ChangeHandler): void {
    const { lsn, endLsn } = m.readCommit(this.#cursor)
    const open = this.#open
    if (open === undefined || this.#block !== undefined) throw this.#cursor.wrong('a transaction to be open')
    if (open.commitLsn !== lsn) throw this.#cursor.wrong(`the commit at ${formatLsn(open.commitLsn)}`)
    this.#end(open, endLsn, changes)
  }

  #end(open: Open, endLsn: Lsn, changes: ChangeHandler): void {
    this.#open = undefined
    this.#told = Math.max(this.#told, endLsn)
    if (open.told !== undefined) changes.commit(open.told, endLsn)
  }

  #streamStart(): void {
    this.#outside()
    const xid = this.#cursor.u32()
    const isFirst = this.#cursor.u8() === 1
    this.#cursor.finish()
    const known = this.#streamed.get(xid)
    if (isFirst === (known !== undefined)) {
      throw this.#cursor.wrong(`${isFirst ? 'a new transaction' : 'one that has begun'}, found ${xid}`)
    }
    this.#block = known ?? this.#spools.create(xid, true)
    this.#streamed.set(xid, this.#block)
  }

  async #streamStop(): Promise<void> {
    const block = this.#block
    if (!block?.streamed) throw this.#cursor.wrong('a block of a streamed transaction to be open')
    this.#cursor.finish()
    await block.rest()
    this.#block = undefined
  }

  async #streamAbort(): Promise<void> {
    this.#outside()
    const { xid, subXid } = m.readStreamAbort(this.#cursor)
    const spool = this.#known(xid)
    if (subXid !== xid) {
      spool.aborted.add(subXid)
      return
    }
    this.#streamed.delete(xid)
    await spool.remove()
  }

  #streamCommit(): Promise<void> {
    this.#outside()
    const ending = m.readStreamCommit(this.#cursor)
    const spool = this.#known(ending.xid)
    this.#streamed.delete(ending.xid)
    return this.#startReplay(spool, ending)
  }

  #known(xid: number): Spool {
    const spool = this.#streamed.get(xid)
    if (spool === undefined) throw this.#cursor.wrong(`a transaction that was streamed before, found ${xid}`)
    return spool
  }

  #beginPrepare(): void {
    this.#outside()
    const { xid } = m.readPrepared(this.#cursor, false)
    this.#block = this.#spools.create(xid, false)
    this.#block.definitions = new Definitions(this.#definitions)
  }

  async #prepare(): Promise<void> {
    const ending = m.readPrepared(this.#cursor, true)
    const block = this.#block
    if (block === undefined || block.streamed || block.xid !== ending.xid) {
      throw this.#cursor.wrong(`a transaction ${ending.xid} that is being prepared`)
    }
    await block.rest()
    this.#block = undefined
    this.#hold(block, ending)
  }

  #streamPrepare(): void {
    this.#outside()
    const ending = m.readPrepared(this.#cursor, true)
    const spool = this.#known(ending.xid)
    this.#streamed.delete(ending.xid)
    this.#hold(spool, ending)
  }

  #hold(spool: Spool, { xid, lsn, endLsn }: m.Ending): void {
    if (!this.#twoPhase) {
      throw new KtsError(
        'CONFIG_INVALID',
        'the replication slot sends prepared transactions (two_phase), and this connector was not told so: drop the slot and let it be made again',
      )
    }
    this.#prepared.set(xid, { spool, lsn })
    this.#told = Math.max(this.#told, endLsn)
  }

  #commitPrepared(): Promise<void> | undefined {
    this.#outside()
    const ending = m.readPrepared(this.#cursor, true)
    const held = this.#prepared.get(ending.xid)
    if (held !== undefined) {
      // The hold itself stays until all was told.
      return this.#startReplay(held.spool, ending)
    }
    if (ending.lsn < this.#startLsn) return undefined
    throw new KtsError(
      'POSITION_LOST',
      `COMMIT PREPARED of transaction ${ending.xid} at ${formatLsn(ending.lsn)}: the slot was confirmed past its PREPARE by another reader, so the server does not send what it did; take a new snapshot`,
    )
  }

  async #rollbackPrepared(): Promise<void> {
    this.#outside()
    const { xid, endLsn } = m.readRollbackPrepared(this.#cursor)
    await this.#prepared.get(xid)?.spool.remove()
    this.#prepared.delete(xid)
    this.#told = Math.max(this.#told, endLsn)
  }

  async #startReplay(spool: Spool, { xid, lsn, time, endLsn }: m.Ending): Promise<void> {
    const open = this.#committed(lsn, time, xid, spool.origin)
    this.#replay = { spool, open, endLsn, reader: await spool.reader() }
  }

  /** Tells a spooled transaction until the handler is full; true: it was told in full, and its file is gone. */
  async replay(changes: ChangeHandler): Promise<boolean> {
    const replay = this.#replay
    if (replay === undefined) return true
    const { reader, spool, open } = replay
    do {
      while (!changes.full && reader.next()) {
        this.#cursor.reset(reader.bytes, reader.start, reader.end, reader.lsn)
        const waiting = this.#replayed(spool, open, changes)
        if (waiting !== undefined) await waiting
        if (this.takeAgain()) {
          reader.back()
          return false
        }
      }
      if (changes.full) return false
    } while (await reader.fill())
    await reader.close()
    await spool.remove()
    if (spool.streamed) this.#definitions.merge(spool.definitions)
    this.#replay = undefined
    this.#prepared.delete(spool.xid)
    this.#end(open, replay.endLsn, changes)
    return true
  }

  #replayed(spool: Spool, open: Open, changes: ChangeHandler): void | Promise<void> {
    const type = this.#cursor.u8()
    const xid = spool.streamed ? this.#cursor.u32() : spool.xid
    // The server counts on a definition that it sent once, whatever became of that subtransaction.
    if (type === m.RELATION) {
      const relation = m.readRelation(this.#cursor)
      return spool.definitions.set({ relation, arrival: spool.arrivals.get(relation.oid) ?? 0 })
    }
    if (type === m.TYPE || spool.aborted.has(xid)) return
    return this.#change(type, open, spool.definitions, changes)
  }

  /** Closes and unlinks what is spooled. */
  async close(): Promise<void> {
    await this.#replay?.reader.close()
    const spools = [...this.#streamed.values(), ...[...this.#prepared.values()].map(({ spool }) => spool)]
    if (this.#block !== undefined) spools.push(this.#block)
    if (this.#replay !== undefined) spools.push(this.#replay.spool)
    for (const spool of new Set(spools)) await spool.remove()
  }

  #outside(): void {
    if (this.#open === undefined && this.#block === undefined) return
    throw this.#cursor.wrong('the end of the transaction before it')
  }
}

/** What may stand in any transaction, as against what begins and ends them. */
function isContent(type: number): boolean {
  return (
    type === m.INSERT ||
    type === m.UPDATE ||
    type === m.DELETE ||
    type === m.RELATION ||
    type === m.TRUNCATE ||
    type === m.MESSAGE ||
    type === m.TYPE
  )
}
