import { type Clock, type Files, readWhole, writeWhole } from '../base/index.ts'

/** How much faster than a second per second the time may run after the wall clock jumped ahead. */
const CATCH_UP = 2

/**
 * The time that retention and compaction count in. It follows the wall clock, but a jump ahead (a wrong date set by hand, a
 * bad time server) is followed only at twice the pace of real time: who sets a clock ten years on does not delete ten years
 * of records, and after a suspended night the deletions are merely late. A jump back is followed at once. The time is kept
 * in a file, so that a restart under the wrong date is no different.
 */
export class RetentionClock {
  readonly #clock: Clock
  #time: number
  #at: number

  /** Goes on from what `save` wrote; where there is nothing, from now, which is saved at once: a kill may come early. */
  static async open(clock: Clock, files: Files, path: string): Promise<RetentionClock> {
    const text = (await readWhole(files, path))?.toString('latin1') ?? ''
    if (/^\d{1,16}\n$/.test(text)) return new RetentionClock(clock, Number(text))
    const begun = new RetentionClock(clock)
    await begun.save(files, path)
    return begun
  }

  constructor(clock: Clock, since = clock.now()) {
    this.#clock = clock
    this.#time = Math.min(since, clock.now())
    this.#at = clock.monotonic()
  }

  now(): number {
    const at = this.#clock.monotonic()
    this.#time = Math.min(this.#clock.now(), this.#time + Math.ceil((at - this.#at) * CATCH_UP))
    this.#at = at
    return this.#time
  }

  async save(files: Files, path: string): Promise<void> {
    await writeWhole(files, path, Buffer.from(`${this.now()}\n`))
  }
}
