const KEPT = 65_536

/**
 * The transactions that were told last. A commit is in the WAL, and so may be told, before other sessions see what it did
 * (longest where it waits for a synchronous standby): a snapshot taken then has rows older than what was told. Whoever reads
 * rows asks here, and reads them again.
 */
export class ToldTransactions {
  readonly #xids = new Uint32Array(KEPT)
  /** How many were ever told. */
  count = 0

  add(xid: number): void {
    this.#xids[this.count++ % KEPT] = xid
  }

  /** Is one of the first `before` still under way, as the snapshot (pg_snapshot's text) has it? */
  anyUnseen(snapshot: string, before: number): boolean {
    const view = new SnapshotView(snapshot)
    for (let i = Math.max(0, this.count - KEPT); i < before; i++) if (!view.sees(this.#xids[i % KEPT]!)) return true
    return false
  }
}

/** pg_snapshot's text (`xmin:xmax:running,…`), asked for committed transactions. */
export class SnapshotView {
  readonly #xmax: number
  readonly #running: ReadonlySet<number>

  constructor(text: string) {
    const [, xmax, list = ''] = text.split(':')
    this.#xmax = low32(xmax!)
    this.#running = new Set(list === '' ? [] : list.split(',').map(low32))
  }

  sees(xid: number): boolean {
    // Transaction ids go round: one is behind xmax when it is less than half the circle away.
    return ((xid - this.#xmax) | 0) < 0 && !this.#running.has(xid)
  }
}

function low32(text: string): number {
  return Number(BigInt(text) % 2n ** 32n)
}
