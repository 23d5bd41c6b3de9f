import {
  defineOptions,
  defineSink,
  type JsonObject,
  type OpenPartition,
  type SinkConnector,
  type SinkTask,
} from '../../runtime/api/index.ts'

/** So many records wait before the sink makes them durable, so its offset lags behind the dead letters. */
const LAG = 5

/**
 * Keeps what it delivered as its state, which is committed with the offset: a value twice or none would be seen there. Of
 * one partition.
 */
export function statefulSink(name = 'stateful'): SinkConnector {
  return defineSink({
    kind: 'sink',
    name,
    aliases: [],
    version: '1',
    doc: 'keeps values',
    options: defineOptions({}),
    open: async () => new StatefulTask(),
  })
}

class StatefulTask implements SinkTask {
  #topic = ''
  #values: string[] = []
  #waiting: { value: string; offset: number }[] = []
  #drained = 0

  async open([partition]: readonly OpenPartition[]): Promise<void> {
    this.#topic = partition?.topic ?? ''
    this.#values = [...((partition?.state?.values as string[] | undefined) ?? [])]
  }

  async put(batches: Parameters<SinkTask['put']>[0]): Promise<void> {
    for (const batch of batches) {
      for (const { value, origin } of batch.records())
        this.#waiting.push({ value: Buffer.from(value as Uint8Array).toString(), offset: origin.offset })
    }
  }

  async preCommit() {
    if (this.#waiting.length < LAG && this.#drained === 0) return []
    const done = this.#waiting.splice(0, this.#drained === 0 ? LAG : this.#waiting.length)
    this.#drained = 0
    if (done.length === 0) return []
    this.#values = [...this.#values, ...done.map(d => d.value)]
    return [
      {
        topic: this.#topic,
        partition: 0,
        offset: done.at(-1)!.offset + 1,
        state: { values: this.#values } as JsonObject,
      },
    ]
  }

  async drain(): Promise<void> {
    this.#drained = 1
  }

  async closePartitions(): Promise<void> {}
  async close(): Promise<void> {}
}
