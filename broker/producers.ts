import { KtsError } from '../base/index.ts'
import { sequenceAfter } from './batch.ts'

/** Who writes: an id of the log's, and an epoch that fences whoever had the id before. */
export interface Producer {
  readonly id: number
  readonly epoch: number
}

/** A transaction without its marker. */
export interface OpenTransaction {
  readonly producerId: number
  readonly epoch: number
  /** Of its first record. */
  readonly firstOffset: number
  /** Its marker may lie in damage: only the transaction log can tell how it ended. See Partition.endTransaction. */
  readonly undecidable: boolean
}

/** What `.txnindex` says of an aborted transaction. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** Of its marker. */
  readonly lastOffset: number
  /** The partition's last stable offset once the marker was written. */
  readonly lastStableOffset: number
}

export type Outcome = 'commit' | 'abort'

/** One batch with a producer, as the rules of sequences look at it. */
export interface ProducerBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly lastOffset: number
  /** Largest time of a record, milliseconds since the epoch. */
  readonly timestamp: number
  readonly transactional: boolean
}

/** The end of a transaction, as its marker says it. */
export interface Marker {
  readonly offset: number
  readonly outcome: Outcome
  readonly coordinatorEpoch: number
  readonly timestamp: number
}

/** A batch that a producer may send again. */
export interface KeptBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly lastOffset: number
  readonly offsetDelta: number
}

/** What a partition knows of one producer. */
export interface ProducerState extends Producer {
  /** The last ones of its epoch, oldest first. */
  readonly batches: readonly KeptBatch[]
  /** Of its last batch or marker: what its expiry counts from, as in Kafka. */
  readonly timestamp: number
  /** Of the last marker; -1 without one. */
  readonly coordinatorEpoch: number
  /** First offset of its open transaction; -1 without one. */
  readonly openFrom: number
}

/** So many batches of a producer may be under way at once (max.in.flight.requests.per.connection with idempotence). */
const BATCHES_KEPT = 5

/**
 * The producers of one partition: their epochs, the sequence numbers of their last batches, and their open transactions.
 * Changes with every batch that is written; what Kafka calls the producer state.
 */
export class Producers {
  readonly #place: string
  readonly #states = new Map<number, ProducerState>()
  /** Ids of those with an open transaction. */
  readonly #open = new Set<number>()
  /** Transactions that have ended for all who read, though their markers are still to be written. */
  readonly #decided = new Map<number, Outcome>()
  readonly #undecidable = new Set<number>()
  #firstUndecided = Number.POSITIVE_INFINITY

  /** `place` names the partition in errors. */
  constructor(place: string) {
    this.#place = place
  }

  get size(): number {
    return this.#states.size
  }

  get(id: number): ProducerState | undefined {
    return this.#states.get(id)
  }

  all(): ProducerState[] {
    return [...this.#states.values()]
  }

  /** First offset of the oldest transaction that nobody has decided on; infinite when there is none. */
  get firstUndecidedOffset(): number {
    return this.#firstUndecided
  }

  /** In the order of their first offsets. */
  open(): OpenTransaction[] {
    return [...this.#open]
      .map(id => this.#states.get(id)!)
      .map(({ id, epoch, openFrom }) => ({
        producerId: id,
        epoch,
        firstOffset: openFrom,
        undecidable: this.#undecidable.has(id),
      }))
      .sort((a, b) => a.firstOffset - b.firstOffset)
  }

  /** How the transaction with that record of the producer ended, as far as no marker on disk says it. */
  outcomeOf(id: number, offset: number): Outcome | 'undecidable' | undefined {
    const state = this.#states.get(id)
    if (state === undefined || state.openFrom < 0 || offset < state.openFrom) return undefined
    return this.#undecidable.has(id) ? 'undecidable' : this.#decided.get(id)
  }

  /** Throws INVALID_PRODUCER_EPOCH for an epoch below the one that is known. */
  checkEpoch({ id, epoch }: Producer): void {
    const known = this.#states.get(id)?.epoch ?? -1
    if (epoch >= known) return
    throw new KtsError(
      'INVALID_PRODUCER_EPOCH',
      `${this.#place}: producer ${id} comes with epoch ${epoch}, and epoch ${known} has taken its place; begin anew with a newer epoch`,
      { details: { producerId: id, epoch, knownEpoch: known } },
    )
  }

  /** A transaction that has been decided takes no more records; its marker comes first. Throws INVALID_TXN_STATE. */
  checkTransaction({ id, epoch }: Producer, transactional: boolean): void {
    const state = this.#states.get(id)
    if (state === undefined || state.openFrom < 0) return
    const reason = !transactional
      ? 'a record outside of it cannot be written'
      : this.#decided.has(id) || this.#undecidable.has(id)
        ? 'it has ended, and its marker is not written yet'
        : state.epoch !== epoch
          ? `it is one of epoch ${state.epoch}, and must not take records of epoch ${epoch}`
          : undefined
    if (reason === undefined) return
    throw new KtsError(
      'INVALID_TXN_STATE',
      `${this.#place}: producer ${id} has a transaction open since offset ${state.openFrom}: ${reason}; end it first`,
      { details: { producerId: id, epoch, firstOffset: state.openFrom } },
    )
  }

  /** The batch that was written with exactly these sequences, if it is one of the last five. */
  duplicateOf({ id, epoch }: Producer, firstSequence: number, lastSequence: number): KeptBatch | undefined {
    const state = this.#states.get(id)
    if (state?.epoch !== epoch) return undefined
    return state.batches.find(b => b.firstSequence === firstSequence && b.lastSequence === lastSequence)
  }

  /** Throws OUT_OF_ORDER_SEQUENCE_NUMBER for anything but the next batch; of an unknown producer any may be next. */
  checkSequence(producer: Producer, firstSequence: number): void {
    const state = this.#states.get(producer.id)
    if (state === undefined) return
    const expected = this.nextSequence(producer)
    if (firstSequence === expected) return
    throw new KtsError(
      'OUT_OF_ORDER_SEQUENCE_NUMBER',
      `${this.#place}: producer ${producer.id} of epoch ${producer.epoch} comes with sequence ${firstSequence} where ${expected} is next; a batch was lost on the way, or comes a second time too late`,
      { details: { producerId: producer.id, sequence: firstSequence, expected } },
    )
  }

  /** Sequence of the next record of the producer. */
  nextSequence({ id, epoch }: Producer): number {
    const state = this.#states.get(id)
    const last = state?.epoch === epoch ? state.batches.at(-1) : undefined
    return last === undefined ? 0 : sequenceAfter(last.lastSequence, 1)
  }

  /** Takes note of a batch that is in the log. */
  observe({ id, epoch }: Producer, batch: ProducerBatch): void {
    const before = this.#states.get(id)
    const kept = before?.epoch === epoch ? before.batches.slice(1 - BATCHES_KEPT) : []
    const { firstSequence, lastSequence, lastOffset } = batch
    const openFrom = before !== undefined && before.openFrom >= 0 ? before.openFrom : -1
    this.#set({
      id,
      epoch,
      batches: [...kept, { firstSequence, lastSequence, lastOffset, offsetDelta: lastOffset - batch.baseOffset }],
      timestamp: batch.timestamp,
      coordinatorEpoch: before?.coordinatorEpoch ?? -1,
      openFrom: openFrom < 0 && batch.transactional ? batch.baseOffset : openFrom,
    })
  }

  /** What the marker puts into the index of aborted transactions, if anything. */
  abortedBy({ id }: Producer, { offset, outcome }: Marker): AbortedTransaction | undefined {
    const state = this.#states.get(id)
    if (state === undefined || state.openFrom < 0 || outcome === 'commit') return undefined
    let otherOpen: number | undefined
    for (const other of this.#open) {
      if (other !== id) otherOpen = Math.min(otherOpen ?? offset, this.#states.get(other)!.openFrom)
    }
    return {
      producerId: id,
      firstOffset: state.openFrom,
      lastOffset: offset,
      lastStableOffset: otherOpen ?? offset + 1,
    }
  }

  /** Takes note of a marker that is in the log. Answers what goes into the index of aborted transactions, if anything. */
  end({ id, epoch }: Producer, marker: Marker): AbortedTransaction | undefined {
    const before = this.#states.get(id)
    const aborted = this.abortedBy({ id, epoch }, marker)
    const { coordinatorEpoch, timestamp } = marker
    const batches = before?.epoch === epoch ? before.batches : []
    this.#decided.delete(id)
    this.#undecidable.delete(id)
    this.#set({ id, epoch, batches, timestamp, coordinatorEpoch, openFrom: -1 })
    return aborted
  }

  /** The open transaction of the producer has ended, whatever becomes of its marker. False when there is none. */
  decide(id: number, outcome: Outcome): boolean {
    const state = this.#states.get(id)
    if (state === undefined || state.openFrom < 0) return false
    if (!this.#decided.has(id)) this.#decided.set(id, outcome)
    this.#undecidable.delete(id)
    this.#findFirstUndecided()
    return true
  }

  /** How it was decided to end. */
  decision(id: number): Outcome | undefined {
    return this.#decided.get(id)
  }

  /** Nobody can tell how the open transaction of the producer ended. */
  giveUp(id: number): void {
    this.#undecidable.add(id)
    this.#findFirstUndecided()
  }

  /** Puts back what `get` answered before something that did not come about. */
  restore(id: number, state: ProducerState | undefined, decision: Outcome | undefined): void {
    if (decision !== undefined) this.#decided.set(id, decision)
    // What was decided meanwhile was about a transaction that is not there.
    else if (state === undefined || state.openFrom < 0) this.#decided.delete(id)
    if (state !== undefined) {
      this.#set(state)
      return
    }
    this.#states.delete(id)
    this.#open.delete(id)
    this.#findFirstUndecided()
  }

  /** Takes over what a snapshot knows. */
  load(states: readonly ProducerState[]): void {
    this.#states.clear()
    this.#open.clear()
    for (const state of states) this.#set(state)
  }

  /** Forgets producers that have been silent for so long; never one with an open transaction. */
  expire(now: number, expirationMs: number): void {
    for (const { id, openFrom, timestamp } of this.#states.values()) {
      if (openFrom < 0 && now - timestamp >= expirationMs) this.#states.delete(id)
    }
  }

  #set(state: ProducerState): void {
    this.#states.set(state.id, state)
    if (state.openFrom >= 0) this.#open.add(state.id)
    else if (!this.#open.delete(state.id)) return
    this.#findFirstUndecided()
  }

  #findFirstUndecided(): void {
    let first = Number.POSITIVE_INFINITY
    for (const id of this.#open) {
      if (!this.#decided.has(id) && !this.#undecidable.has(id)) first = Math.min(first, this.#states.get(id)!.openFrom)
    }
    this.#firstUndecided = first
  }
}
