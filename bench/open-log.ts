import { nodeFiles, silentLogger, systemClock, systemRandom } from '../base/index.ts'
import { openEmbeddedBroker } from '../broker/index.ts'
import { loadPipeline } from '../cli/compose.ts'
import { Worker } from '../runtime/index.ts'

const ENVIRONMENT = { files: nodeFiles, clock: systemClock, random: systemRandom, log: silentLogger }

/** The embedded engine by itself, with the default settings. */
export function openLog(directory: string) {
  return openEmbeddedBroker({
    directory,
    options: {
      'num.partitions': 1,
      'log.disk.reserve.bytes': 0,
      'log.retention.check.interval.ms': 300_000,
      'log.read.check.crcs': true,
      'log.cleaner.backoff.ms': 15_000,
      'log.cleaner.dedupe.buffer.size': 1 << 20,
      'log.cleaner.io.max.bytes.per.second': -1,
      'log.open.files.max': 512,
    },
    ...ENVIRONMENT,
  })
}

/** A worker without REST, whose broker a benchmark can read. */
export async function openWorker(yaml: string, dataDir: string) {
  const config = await loadPipeline([yaml], { dataDir })
  const broker = await openLog(config.dataDir)
  const worker = await Worker.start(config, { broker, ...ENVIRONMENT })
  return {
    broker,
    stop: async () => {
      await worker.stop()
      await broker.close()
    },
  }
}
