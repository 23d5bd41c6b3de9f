import {
  batchBaseOffset,
  batchBaseSequence,
  batchIsControl,
  batchIsTransactional,
  batchLastOffset,
  batchLastSequence,
  batchProducerEpoch,
  batchProducerId,
  sequenceAfter,
} from './batch.ts'
import type { AbortedEntry, EntryFile } from './log-inspection-files.ts'
import type { Findings } from './log-inspection-findings.ts'
import type { Marker, ProducerState } from './producers.ts'

/** Offsets that are damaged, or were; `lastOffset` is undefined where nothing tells how many. */
export interface LostOffsets {
  readonly firstOffset: number
  readonly lastOffset: number | undefined
}

interface Known {
  readonly epoch: number
  /** -1 behind a marker. */
  readonly lastSequence: number
  readonly lastOffset: number
  /** Of the open transaction; -1 without one. */
  readonly openFrom: number
  /** Records may be missing since: what comes next may have any sequence. */
  readonly gapSince: boolean
}

/**
 * Holds sequences, transactions, `.txnindex` and `.snapshot` of a partition against its batches, segment after segment.
 */
export class ProducersCheck {
  readonly #findings: Findings
  readonly #producers = new Map<number, Known>()
  /** Aborted transactions of this segment: those whose begin is known, by the offset of the marker. */
  #aborted = new Map<number, { readonly producerId: number; readonly firstOffset: number | undefined }>()
  #damage: LostOffsets[] = []

  constructor(findings: Findings) {
    this.#findings = findings
  }

  /** `marker`: of a control batch that holds one. */
  batch(path: string, bytes: Buffer, at: number, position: number, marker: Marker | undefined): void {
    const producerId = batchProducerId(bytes, at)
    if (producerId < 0) return
    const known = this.#producers.get(producerId)
    const epoch = batchProducerEpoch(bytes, at)
    const place = { path, position, firstOffset: batchBaseOffset(bytes, at), lastOffset: batchLastOffset(bytes, at) }
    if (known !== undefined && epoch < known.epoch)
      this.#findings.problem({
        ...place,
        what: `a batch of producer ${producerId} has epoch ${epoch} behind one of epoch ${known.epoch}`,
      })
    if (batchIsControl(bytes, at)) {
      if (marker !== undefined) this.#end(producerId, epoch, marker, known)
      return
    }
    const firstSequence = batchBaseSequence(bytes, at)
    const expected = known?.epoch === epoch && known.lastSequence >= 0 ? sequenceAfter(known.lastSequence, 1) : 0
    if (known !== undefined && !known.gapSince && firstSequence >= 0 && firstSequence !== expected)
      this.#findings.problem({
        ...place,
        what: `a batch of producer ${producerId} begins with sequence ${firstSequence} where ${expected} follows: records are missing, or twice in the log`,
      })
    const open = known !== undefined && known.openFrom >= 0 ? known.openFrom : -1
    this.#producers.set(producerId, {
      epoch,
      lastSequence: batchLastSequence(bytes, at),
      lastOffset: place.lastOffset,
      openFrom: open < 0 && batchIsTransactional(bytes, at) ? place.firstOffset : open,
      gapSince: false,
    })
  }

  #end(producerId: number, epoch: number, { offset, outcome }: Marker, known: Known | undefined): void {
    if (outcome === 'abort') {
      const firstOffset = known === undefined || known.openFrom < 0 || known.gapSince ? undefined : known.openFrom
      this.#aborted.set(offset, { producerId, firstOffset })
    }
    const lastSequence = known?.epoch === epoch ? known.lastSequence : -1
    // Of a producer that is first seen by its marker, earlier batches are gone.
    const gapSince = known?.gapSince ?? true
    this.#producers.set(producerId, { epoch, lastSequence, lastOffset: offset, openFrom: -1, gapSince })
  }

  /** Offsets are missing here: compacted, repaired or damaged. */
  gap(damage?: LostOffsets): void {
    if (damage !== undefined) this.#damage.push(damage)
    for (const [id, known] of this.#producers) this.#producers.set(id, { ...known, gapSince: true })
  }

  /** At the end of each segment, with what its `.txnindex` says. */
  endSegment(path: string, file: EntryFile<AbortedEntry> | undefined): void {
    if (file !== undefined && file.rest > 0)
      this.#findings.problem({ path, what: `${file.rest} bytes at the end are no whole entry` })
    const told = new Map((file?.entries ?? []).map(entry => [entry.lastOffset, entry]))
    for (const [offset, { producerId, firstOffset }] of this.#aborted) {
      const entry = told.get(offset)
      if (firstOffset === undefined) continue
      const place = { path, firstOffset, lastOffset: offset }
      if (entry === undefined)
        this.#findings.problem({
          ...place,
          what: `the aborted transaction of producer ${producerId} is not in it: its records would be read as committed`,
        })
      else if (entry.producerId !== producerId || entry.firstOffset !== firstOffset)
        this.#findings.problem({
          ...place,
          what: `the entry of the transaction that ends there says producer ${entry.producerId} from offset ${entry.firstOffset}; the log says producer ${producerId}`,
        })
    }
    for (const { lastOffset, firstOffset, producerId, version } of told.values()) {
      const isDamaged = this.#damage.some(
        bad => lastOffset >= bad.firstOffset && lastOffset <= (bad.lastOffset ?? Number.POSITIVE_INFINITY),
      )
      if (version !== 0) this.#findings.problem({ path, what: `an entry of version ${version}, where 0 is known` })
      else if (!isDamaged && this.#aborted.get(lastOffset)?.producerId !== producerId)
        this.#findings.problem({
          path,
          firstOffset,
          lastOffset,
          what: `an entry says that producer ${producerId} aborted at offset ${lastOffset}, where no such marker is`,
        })
    }
    this.#aborted = new Map()
    this.#damage = []
  }

  /** What a snapshot says, once every batch below its offset was seen. Producers may have expired since, or before. */
  snapshot(path: string, states: readonly ProducerState[]): void {
    for (const state of states) {
      const known = this.#producers.get(state.id)
      if (known === undefined || known.gapSince) continue
      const last = state.batches.at(-1)
      const agrees =
        state.epoch === known.epoch &&
        state.openFrom === known.openFrom &&
        (last === undefined || (last.lastSequence === known.lastSequence && last.lastOffset <= known.lastOffset))
      if (!agrees)
        this.#findings.problem({
          path,
          what: `says of producer ${state.id} epoch ${state.epoch}, last sequence ${last?.lastSequence ?? -1}, open transaction from ${state.openFrom}; the log says ${known.epoch}, ${known.lastSequence}, ${known.openFrom}`,
        })
    }
  }

  /** Transactions that no marker has ended. */
  openTransactions(): { readonly producerId: number; readonly epoch: number; readonly firstOffset: number }[] {
    return [...this.#producers].flatMap(([producerId, { epoch, openFrom }]) =>
      openFrom < 0 ? [] : [{ producerId, epoch, firstOffset: openFrom }],
    )
  }
}
