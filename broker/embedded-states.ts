import { type Clock, type Files, KtsError, type Logger, type Random } from '../base/index.ts'
import { Checkpoints } from './checkpoints.ts'
import { CommitJournal } from './commit-journal.ts'
import { GroupOffsets } from './groups.ts'
import { CHECKPOINTS_TOPIC, OFFSETS_TOPIC, TRANSACTIONS_TOPIC } from './internal-topics.ts'
import { KeyedState, type StateView } from './keyed-state.ts'
import type { StateRecord } from './state-snapshot.ts'
import type { Topic, TopicStore } from './topic-store.ts'
import type { TransactionalState } from './transaction.ts'
import { TransactionLog } from './transaction-log.ts'
import type { TransactionPartition } from './transaction-markers.ts'
import { recoverTransactions } from './transaction-recovery.ts'
import { Transactions } from './transactions.ts'

/** Nobody else's transactional id: tasks have `<pipeline>-<connector>-<task>`. */
const FORGETTING_ID = '__deleted-topics'
const FORGETTING_TIMEOUT_MS = 60_000
/** Some hundred small transactions: so often are the files of the log synced. */
const JOURNAL_BYTES = 1 << 20

/** When records of the broker's own topics are given up. */
const LOSS_MEANS: Readonly<Record<string, string>> = {
  [TRANSACTIONS_TOPIC]:
    'a transaction that they alone say was committed is then aborted, and its records are passed over',
  [OFFSETS_TOPIC]: 'sinks then go on from the positions before these, and may deliver records again',
  [CHECKPOINTS_TOPIC]: 'sources then go on from the positions before these, and may read records again',
}

export interface EmbeddedStatesParts {
  /** The data directory. */
  readonly directory: string
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Of each of the two files of the commit journal, bytes; 1 MiB. */
  readonly journalBytes?: number
}

/** What the embedded engine remembers in topics of its own. */
export class EmbeddedStates {
  readonly transactions: Transactions
  readonly offsets: TransactionalState & { readonly view: GroupOffsets }
  readonly checkpoints: TransactionalState & { readonly view: Checkpoints }
  readonly journal: CommitJournal
  readonly #log: TransactionLog
  readonly #clock: Clock
  /** One transaction at a time. */
  #forgetting: Promise<void> = Promise.resolve()

  /** Ends what the last run left open, then reads positions: nobody may have read before. */
  static async open(parts: EmbeddedStatesParts, topics: TopicStore, log: TransactionLog): Promise<EmbeddedStates> {
    const exists = (partition: TransactionPartition) =>
      topics.topic(partition.topic)?.partitions[partition.partition] === partition
    const durableTopicId = (partition: TransactionPartition) => {
      const topic = exists(partition) ? topics.topic(partition.topic) : undefined
      return topic?.settings.durability === 'sync' ? topic.entry.id : undefined
    }
    const partitions = topics.all().flatMap(topic => topic.partitions)
    const recovered = await recoverTransactions(partitions, log, exists, parts.log)
    const { directory, files, random, log: logger, journalBytes: size = JOURNAL_BYTES } = parts
    const journal = new CommitJournal({ directory, files, random, logger, log, exists, size })
    const transactions = new Transactions({
      log,
      journal,
      topics: { exists, durableTopicId },
      clock: parts.clock,
      logger,
      recovered,
    })
    try {
      await journal.start()
      const offsets = await openState(parts, topics, OFFSETS_TOPIC, new GroupOffsets())
      const checkpoints = await openState(parts, topics, CHECKPOINTS_TOPIC, new Checkpoints())
      return new EmbeddedStates(log, journal, parts.clock, transactions, offsets, checkpoints)
    } catch (error) {
      await journal.close(false).catch(() => undefined)
      throw error
    }
  }

  private constructor(
    log: TransactionLog,
    journal: CommitJournal,
    clock: Clock,
    transactions: Transactions,
    offsets: EmbeddedStates['offsets'],
    checkpoints: EmbeddedStates['checkpoints'],
  ) {
    this.#log = log
    this.journal = journal
    this.#clock = clock
    this.transactions = transactions
    this.offsets = offsets
    this.checkpoints = checkpoints
  }

  /** Removes the positions of all groups in a topic that is gone: one that takes its name begins anew. */
  forgetOffsets(topic: string): Promise<void> {
    return this.#forget(() => this.offsets.view.tombstones(topic))
  }

  /** Removes all positions of a group. */
  forgetGroup(group: string): Promise<void> {
    return this.#forget(() => this.offsets.view.groupTombstones(group))
  }

  #forget(tombstonesOf: () => readonly StateRecord[]): Promise<void> {
    const forgetting = this.#forgetting.then(() => this.#append(tombstonesOf()))
    this.#forgetting = forgetting.catch(() => undefined)
    return forgetting
  }

  /** In a transaction, as all that goes into these topics: what is torn can then be told from what was acknowledged. */
  async #append(tombstones: readonly StateRecord[]): Promise<void> {
    const { state, partition } = this.offsets
    if (tombstones.length === 0) return
    const id = this.transactions.of(FORGETTING_ID)
    const producer = await id.begin()
    const ending = { producer, partitions: new Set([partition]), plain: new Set<TransactionPartition>() }
    const written = await state.append(tombstones, producer).catch(error => {
      id.abort(producer, ending.partitions)
      throw error
    })
    await id.commit({ ...ending, startedAt: this.#clock.now(), timeoutMs: FORGETTING_TIMEOUT_MS }, () =>
      state.apply(written),
    )
  }

  /** Writes the snapshots that keep the next start short. Failures are only logged, and answered with false. */
  async snapshot(): Promise<boolean> {
    const written = [
      await this.offsets.state.snapshot(),
      await this.checkpoints.state.snapshot(),
      await this.#log.snapshot(),
    ]
    return written.every(ok => ok)
  }

  /**
   * To be called before compaction of the topics behind it: a start reads on from the snapshots, and would not hear of an
   * entry that is gone, or of a durable end, if what said so were compacted away. Rejects with STORAGE_FAILED.
   */
  async beforeCompaction(): Promise<void> {
    if (await this.snapshot()) return
    throw new KtsError('STORAGE_FAILED', 'the snapshots of the internal topics could not be written; see the log')
  }
}

/** `beforeSnapshot` has to write the recovery points: a start passes over what the log told of durable ends before. */
export function openTransactionLog(
  parts: EmbeddedStatesParts,
  topic: Topic,
  beforeSnapshot: () => Promise<void>,
): Promise<TransactionLog> {
  return TransactionLog.open({ ...statePlace(parts, topic), beforeSnapshot })
}

async function openState<V extends StateView>(
  parts: EmbeddedStatesParts,
  topics: TopicStore,
  name: string,
  view: V,
): Promise<TransactionalState & { readonly view: V }> {
  const state = await KeyedState.open({ ...statePlace(parts, topics.topic(name)!), view })
  return { state, view, partition: topics.partition(name, 0) }
}

function statePlace({ directory, files, log }: EmbeddedStatesParts, { name, entry, partitions }: Topic) {
  const snapshotPath = `${directory}/meta/state/${name}.json`
  const lossMeans = LOSS_MEANS[name]!
  return { topic: name, topicId: entry.id, log: partitions[0]!, files, snapshotPath, logger: log, lossMeans }
}
