import { errorCode, KtsError, PackedWriter, partitionForKey } from '../runtime/api/index.ts'
import type { NewRecord } from './record-lines.ts'
import { existingTopic } from './topics.ts'
import type { Broker } from './worker-view.ts'

type Writer = Awaited<ReturnType<Broker['writer']>>

/** One id for all: only one process owns a log, and it writes these one request at a time. */
const WRITER_ID = 'kts-produce'

/** Writes records that people send, each call all or nothing and durable when it resolves. */
export class Producer {
  readonly #broker: Broker
  #writer: Writer | undefined
  #turn = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(broker: Broker) {
    this.#broker = broker
  }

  /** Rejects with UNKNOWN_TOPIC_OR_PARTITION, MESSAGE_TOO_LARGE and whatever a commit may. */
  send(topic: string, records: readonly NewRecord[]): Promise<void> {
    const sent = this.#last.then(() => this.#send(topic, records))
    this.#last = sent.catch(() => {})
    return sent
  }

  async close(): Promise<void> {
    await this.#last
    await this.#writer?.close()
    this.#writer = undefined
  }

  async #send(topic: string, records: readonly NewRecord[]): Promise<void> {
    const { partitions } = await existingTopic(this.#broker, topic)
    const batches = this.#byPartition(topic, partitions, records)
    this.#writer ??= await this.#broker.writer(WRITER_ID)
    try {
      const transaction = await this.#writer.begin()
      try {
        for (const [partition, batch] of batches) await transaction.append(topic, partition, batch.build())
      } catch (error) {
        await transaction.abort()
        throw error
      }
      await transaction.commit()
    } catch (error) {
      // After these a writer is of no more use; the next call opens another.
      if (errorCode(error) !== 'MESSAGE_TOO_LARGE') this.#writer = undefined
      throw error
    }
  }

  /** A record's own partition, else by its key as Kafka's default partitioner, else one partition per call in turn. */
  #byPartition(topic: string, partitions: number, records: readonly NewRecord[]): Map<number, PackedWriter> {
    const batches = new Map<number, PackedWriter>()
    this.#turn = (this.#turn + 1) % partitions
    for (const { partition, key, value, headers, timestamp } of records) {
      const chosen = partition ?? (key === null ? this.#turn : partitionForKey(key, partitions))
      if (chosen >= partitions) {
        throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `topic ${topic} has no partition ${chosen}`)
      }
      const batch = batches.get(chosen) ?? new PackedWriter()
      batches.set(chosen, batch)
      batch.add(key, value, headers, timestamp)
    }
    return batches
  }
}
