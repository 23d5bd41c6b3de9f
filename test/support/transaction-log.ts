import type { Broker, Transaction, Writer } from '../../broker/index.ts'

/** The same broker, that notes how the transactions of its writers go: `begin`, `append t-0 3`, `commit`, `abort`. */
export function noteTransactions(broker: Broker, note: (writer: string, event: string) => void): Broker {
  return over(broker, {
    async writer(id, options) {
      const writer = await broker.writer(id, options)
      return over<Writer>(writer, {
        async begin() {
          note(id, 'begin')
          const transaction = await writer.begin()
          return over<Transaction>(transaction, {
            async append(topic, partition, records) {
              note(id, `append ${topic}-${partition} ${records.count}`)
              await transaction.append(topic, partition, records)
            },
            async commit() {
              note(id, 'commit')
              await transaction.commit()
            },
            async abort() {
              note(id, 'abort')
              await transaction.abort()
            },
          })
        },
      })
    },
  })
}

function over<T extends object>(inner: T, changes: Partial<T>): T {
  return new Proxy(inner, {
    get(target, name) {
      const changed = changes[name as keyof T]
      if (changed !== undefined) return changed
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
