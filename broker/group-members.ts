import { KtsError } from '../base/index.ts'
import { assignPartitions } from './group-assignment.ts'
import type { GroupMember, GroupOffset, Subscription } from './port.ts'

export interface PartitionId {
  readonly topic: string
  readonly partition: number
}

/** What may be read, as far as groups need to know. */
export interface GroupTopic {
  readonly name: string
  readonly partitions: number
  readonly internal: boolean
}

export type AssignmentChange = { readonly kind: 'assigned' | 'revoked'; readonly partitions: readonly PartitionId[] }

export function partitionKey(topic: string, partition: number): string {
  return `${topic}-${partition}`
}

/** Whether the key is that of a partition of the topic. */
export function isPartitionOf(key: string, topic: string): boolean {
  return key.slice(0, key.lastIndexOf('-')) === topic
}

/**
 * Shares partitions among the members of each group, inside this process. A partition changes hands in three steps, so
 * that nothing is read twice: the old member is told (`revoked`), commits what it has and asks again, and only then the
 * new one gets it (Kafka's cooperative rebalancing, KIP-429).
 */
export class GroupMembers {
  readonly #groups = new Map<string, Group>()
  readonly #topics: () => readonly GroupTopic[]

  constructor(topics: () => readonly GroupTopic[]) {
    this.#topics = topics
  }

  /** Takes the place of an earlier member of the same name, which is fenced. `wake` is called when `next` may have news. */
  join(subscription: Subscription, wake: () => void): Membership {
    let group = this.#groups.get(subscription.group)
    if (group === undefined) {
      group = new Group()
      this.#groups.set(subscription.group, group)
    }
    const membership = new Membership(group, subscription, wake)
    group.join(membership, this.#topics())
    return membership
  }

  /** To be called when a topic was created or has grown. */
  topicsChanged(): void {
    const topics = this.#topics()
    for (const group of this.#groups.values()) group.plan(topics)
  }

  leave(membership: Membership): void {
    membership.groupState.leave(membership, this.#topics())
  }

  /**
   * Admits a commit of offsets, or throws FENCED. Until the answer is called the member's partitions go to nobody else,
   * so a successor always reads the positions of a commit that was under way. Generation -1 is a commit from outside
   * the group (a tool), allowed while the group has no members.
   */
  admit(member: GroupMember, offsets: readonly GroupOffset[]): () => void {
    const group = this.#groups.get(member.group)
    if (member.generation < 0) {
      if (group !== undefined && group.members.size > 0) throw fenced(member, 'the group has members')
      return () => {}
    }
    const membership = group?.members.get(member.member)
    if (group === undefined || membership === undefined) throw fenced(member, 'it has left the group')
    if (member.generation < membership.joined) throw fenced(member, 'a newer member has its place')
    const lost = offsets.find(o => group.owners.get(partitionKey(o.topic, o.partition)) !== membership)
    if (lost !== undefined)
      throw fenced(member, `${partitionKey(lost.topic, lost.partition)} belongs to another member`)
    membership.commits++
    return () => {
      membership.commits--
      group.release(membership)
    }
  }
}

function fenced(member: GroupMember, why: string): KtsError {
  return new KtsError(
    'FENCED',
    `member ${member.member} of group ${member.group} may not commit: ${why}; reopen from the committed positions`,
  )
}

class Group {
  readonly members = new Map<string, Membership>()
  /** Who has a partition now, by partition key; whoever left keeps it until its last commit has ended. */
  readonly owners = new Map<string, Membership>()
  #generation = 0

  nextGeneration(): number {
    return ++this.#generation
  }

  join(membership: Membership, topics: readonly GroupTopic[]): void {
    const earlier = this.members.get(membership.subscription.member)
    if (earlier !== undefined) this.#remove(earlier)
    this.members.set(membership.subscription.member, membership)
    this.plan(topics)
  }

  leave(membership: Membership, topics: readonly GroupTopic[]): void {
    if (membership.gone) return
    this.#remove(membership)
    this.plan(topics)
  }

  plan(topics: readonly GroupTopic[]): void {
    const members = [...this.members.values()].sort((a, b) => (a.subscription.member < b.subscription.member ? -1 : 1))
    const targets = assignPartitions(members, topics)
    members.forEach((member, i) => {
      member.target = targets[i]!
      member.wake()
    })
  }

  /** Gives up what a member that left still had, once no commit of it is under way. */
  release(membership: Membership): void {
    if (!membership.gone || membership.commits > 0) return
    this.free(membership, membership.owned.keys())
    membership.owned.clear()
  }

  free(membership: Membership, keys: Iterable<string>): void {
    for (const key of keys) if (this.owners.get(key) === membership) this.owners.delete(key)
    for (const member of this.members.values()) if (member !== membership) member.wake()
  }

  #remove(membership: Membership): void {
    membership.gone = true
    this.members.delete(membership.subscription.member)
    this.release(membership)
    membership.wake()
  }
}

/** One member's place. Everything here is synchronous: it runs between two awaits of the reader. */
export class Membership {
  readonly subscription: Subscription
  readonly groupState: Group
  readonly wake: () => void
  /** The generation it came with: an older one belongs to a predecessor of the same name. */
  readonly joined: number
  target: ReadonlyMap<string, PartitionId> = new Map()
  readonly owned = new Map<string, PartitionId>()
  /** Commits of offsets under way. */
  commits = 0
  /** It left, or another took its name. */
  gone = false
  #generation: number
  #releasing: readonly PartitionId[] = []

  constructor(group: Group, subscription: Subscription, wake: () => void) {
    this.groupState = group
    this.subscription = subscription
    this.wake = wake
    this.joined = group.nextGeneration()
    this.#generation = this.joined
  }

  get member(): GroupMember {
    return { group: this.subscription.group, member: this.subscription.member, generation: this.#generation }
  }

  /** The next change, or undefined. Asking again is what gives up partitions that were revoked. Throws FENCED. */
  next(): AssignmentChange | undefined {
    if (this.gone) {
      const { member, group } = this.subscription
      throw new KtsError('FENCED', `another member took the place of ${member} in group ${group}`)
    }
    this.#giveUp()
    const revoked = [...this.owned].filter(([key]) => !this.target.has(key)).map(([, id]) => id)
    if (revoked.length > 0) {
      this.#releasing = revoked
      return { kind: 'revoked', partitions: revoked }
    }
    const { owners } = this.groupState
    const assigned = [...this.target].filter(([key]) => !this.owned.has(key) && !owners.has(key))
    if (assigned.length === 0) return undefined
    for (const [key, id] of assigned) {
      owners.set(key, this)
      this.owned.set(key, id)
    }
    this.#generation = this.groupState.nextGeneration()
    return { kind: 'assigned', partitions: assigned.map(([, id]) => id) }
  }

  #giveUp(): void {
    if (this.#releasing.length === 0) return
    const keys = this.#releasing.map(id => partitionKey(id.topic, id.partition))
    this.#releasing = []
    for (const key of keys) this.owned.delete(key)
    this.groupState.free(this, keys)
  }
}
