import { brokerContract } from '../contract/broker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'

brokerContract(
  'memory',
  async () => {
    const broker = new MemoryBroker()
    return { broker, close: () => broker.close() }
  },
  { restarts: false },
)
