import { assert, type Clock, KtsError } from '../base/index.ts'
import type { GroupMembers, Membership, PartitionId } from './group-members.ts'
import { partitionKey } from './group-members.ts'
import { type PartitionLog, type PartitionRead, readableEnd } from './partition-log.ts'
import type {
  AssignedPartition,
  GroupMember,
  GroupOffset,
  LogRecords,
  Reader,
  ReaderEvent,
  Subscription,
  TopicPosition,
} from './port.ts'
import { Wake } from './wake.ts'

/** What a reader asks of its broker. */
export interface ReaderHost {
  readonly clock: Clock
  readonly members: GroupMembers
  /** Throws UNKNOWN_TOPIC_OR_PARTITION. */
  log(topic: string, partition: number): PartitionLog
  /** The group's committed position, or undefined. */
  committed(group: string, topic: string, partition: number): GroupOffset | undefined
  /** Throws CLOSED. */
  checkOpen(): void
}

/** Where a reader stands in one partition. */
interface Position extends PartitionId {
  readonly log: PartitionLog
  offset: number
  paused: boolean
  readonly stop: () => void
}

/**
 * A group member's reader in the embedded engine. `#ready` holds only partitions that may have something, in turn: a
 * poll costs nothing for the idle ones, and one that is busy goes behind the others.
 */
export class GroupReader implements Reader {
  readonly #host: ReaderHost
  readonly #subscription: Subscription
  readonly #membership: Membership
  readonly #positions = new Map<string, Position>()
  readonly #ready = new Set<Position>()
  readonly #wake = new Wake()
  readonly #closed: () => void
  #open = true

  /** `closed` is called once, when the reader has been closed. */
  constructor(host: ReaderHost, subscription: Subscription, closed: () => void) {
    this.#host = host
    this.#subscription = subscription
    this.#closed = closed
    this.#membership = host.members.join(subscription, this.#wake.signal)
  }

  get group(): GroupMember {
    return this.#membership.member
  }

  async poll(waitMs: number, signal: AbortSignal): Promise<ReaderEvent> {
    const { clock } = this.#host
    const deadline = clock.monotonic() + waitMs
    for (;;) {
      if (!this.#open) throw new KtsError('CLOSED', `the reader ${this.#subscription.member} is closed`)
      this.#host.checkOpen()
      this.#wake.clear()
      const change = this.#nextChange()
      if (change !== undefined) return change
      const fetched = new Fetched()
      await this.#fetch(fetched)
      if (fetched.batches.length > 0) return { kind: 'records', batches: fetched.batches, release: fetched.release }
      // Nothing but what is passed over: markers, aborted records.
      fetched.release()
      const rest = deadline - clock.monotonic()
      if (rest <= 0 || signal.aborted) return { kind: 'idle' }
      await this.#wake.wait(clock, rest, signal)
    }
  }

  position(topic: string, partition: number): number {
    return this.#position(topic, partition).offset
  }

  seek(topic: string, partition: number, offset: number): void {
    const position = this.#position(topic, partition)
    position.offset = offset
    this.#markReady(position)
  }

  pause(topic: string, partition: number): void {
    const position = this.#position(topic, partition)
    position.paused = true
    this.#ready.delete(position)
  }

  resume(topic: string, partition: number): void {
    const position = this.#position(topic, partition)
    position.paused = false
    this.#markReady(position)
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    for (const position of this.#positions.values()) position.stop()
    this.#positions.clear()
    this.#ready.clear()
    this.#host.members.leave(this.#membership)
    this.#wake.signal()
    this.#closed()
  }

  /** Ends a wait under way, so that a closing broker is noticed. */
  interrupt(): void {
    this.#wake.signal()
  }

  #nextChange(): ReaderEvent | undefined {
    const change = this.#membership.next()
    if (change === undefined) return undefined
    return change.kind === 'assigned'
      ? { kind: 'assigned', partitions: change.partitions.map(id => this.#take(id)) }
      : { kind: 'revoked', partitions: change.partitions.map(id => this.#drop(id)) }
  }

  #take({ topic, partition }: PartitionId): AssignedPartition {
    const log = this.#host.log(topic, partition)
    const committed = this.#host.committed(this.#subscription.group, topic, partition)
    const initial = this.#subscription.reset === 'earliest' ? log.logStartOffset : log.highWatermark
    const position: Position = {
      topic,
      partition,
      log,
      offset: committed?.offset ?? initial,
      paused: false,
      stop: log.onAdvance(() => this.#markReady(position), this.#subscription.isolation),
    }
    this.#positions.set(partitionKey(topic, partition), position)
    this.#markReady(position)
    return { topic, partition, offset: position.offset, metadata: committed?.metadata ?? '' }
  }

  #drop({ topic, partition }: PartitionId): TopicPosition {
    const position = this.#position(topic, partition)
    position.stop()
    this.#ready.delete(position)
    this.#positions.delete(partitionKey(topic, partition))
    return { topic, partition, offset: position.offset }
  }

  #markReady(position: Position): void {
    if (position.paused) return
    this.#ready.add(position)
    this.#wake.signal()
  }

  #position(topic: string, partition: number): Position {
    const position = this.#positions.get(partitionKey(topic, partition))
    if (position !== undefined) return position
    const { member, group } = this.#subscription
    throw new KtsError(
      'UNKNOWN_TOPIC_OR_PARTITION',
      `${partitionKey(topic, partition)} is not assigned to member ${member} of group ${group}`,
    )
  }

  async #fetch(fetched: Fetched): Promise<void> {
    let room = this.#subscription.bytesMax
    for (const position of [...this.#ready]) {
      if (room <= 0) break
      try {
        room -= await this.#fetchFrom(position, room, fetched)
      } catch (error) {
        // What was read before has moved its positions and must be handed over; the error comes again at the next poll.
        if (fetched.batches.length > 0) return
        throw error
      }
    }
  }

  /** Adds what one partition has and answers its bytes. Order matters: a position moves only after its read succeeded. */
  async #fetchFrom(position: Position, room: number, fetched: Fetched): Promise<number> {
    const { topic, partition, log } = position
    const { isolation, partitionBytesMax } = this.#subscription
    checkInside(position)
    this.#ready.delete(position)
    let bytes = 0
    if (position.offset < readableEnd(log, isolation)) {
      try {
        const read = await log.read(position.offset, Math.min(room, partitionBytesMax), isolation)
        bytes = fetched.add(logRecords(position, read), read.release)
        assert(read.nextOffset > position.offset, `a read of ${partitionKey(topic, partition)} moves on`)
        position.offset = read.nextOffset
      } catch (error) {
        this.#ready.add(position)
        throw error
      }
      // Behind the others: a partition that always has more must not starve them.
      if (position.offset < readableEnd(log, isolation)) this.#markReady(position)
    }
    return bytes
  }
}

/** What one poll has read so far, of several partitions. */
class Fetched {
  readonly batches: LogRecords[] = []
  readonly #releases: (() => void)[] = []

  /** Answers the bytes of the batches. */
  add(batches: readonly LogRecords[], release: (() => void) | undefined): number {
    this.batches.push(...batches)
    if (release !== undefined) this.#releases.push(release)
    return batches.reduce((bytes, { records }) => bytes + records.size, 0)
  }

  readonly release = (): void => {
    for (const release of this.#releases) release()
  }
}

/** Names what a partition's log gave. The last batch leads behind whatever gap follows it. */
export function logRecords({ topic, partition }: PartitionId, read: PartitionRead): LogRecords[] {
  return read.batches.map((records, i) => {
    const isLast = i === read.batches.length - 1
    return { topic, partition, records, nextOffset: isLast ? read.nextOffset : records.offset(records.count - 1) + 1 }
  })
}

/** A position outside the log is an error that names what was lost; it never moves by itself. */
function checkInside({ topic, partition, offset, log }: Position): void {
  const { logStartOffset, highWatermark } = log
  if (offset >= logStartOffset && offset <= highWatermark) return
  throw outOfRange(topic, partition, offset, logStartOffset, highWatermark)
}

export function outOfRange(topic: string, partition: number, offset: number, start: number, end: number): KtsError {
  const place = `${partitionKey(topic, partition)} at offset ${offset}`
  const what =
    offset < start
      ? `records ${offset} to ${start - 1} are no longer in the log, which begins at ${start}`
      : `the log ends at ${end}, before this position`
  return new KtsError(
    'OFFSET_OUT_OF_RANGE',
    `${place}: ${what}; nothing moves a group yet: under another name a sink begins by auto.offset.reset`,
    {
      details: { topic, partition, offset, logStartOffset: start, highWatermark: end },
    },
  )
}
