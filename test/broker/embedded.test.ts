import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeFiles, SeededRandom, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { brokerContract } from '../contract/broker.ts'
import { openAsNewProcess } from '../support/embedded.ts'

brokerContract(
  'embedded, power cut for a crash,',
  async () => {
    let files = new MemoryFiles(new SeededRandom(7), { clock: systemClock })
    let broker = await openAsNewProcess({ files })
    return {
      broker,
      reopen: async () => {
        await broker.close()
        broker = await openAsNewProcess({ files })
        return broker
      },
      crash: async () => {
        files = files.powerCut()
        broker = await openAsNewProcess({ files })
        return broker
      },
      close: () => broker.close(),
    }
  },
  { restarts: true },
)

brokerContract(
  'embedded, on a real disk,',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'kts-broker-'))
    let broker = await openAsNewProcess({ files: nodeFiles, directory })
    return {
      broker,
      reopen: async () => {
        await broker.close()
        broker = await openAsNewProcess({ files: nodeFiles, directory })
        return broker
      },
      // The process goes on, but nothing that it kept in memory is used again.
      crash: async () => {
        broker = await openAsNewProcess({ files: nodeFiles, directory })
        return broker
      },
      close: async () => {
        await broker.close()
        await rm(directory, { recursive: true })
      },
    }
  },
  { restarts: true },
)
