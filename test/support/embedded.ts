import { type Clock, type Files, type Logger, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import type { Processes } from '../../base/process-info.ts'
import { type EmbeddedBroker, type EmbeddedOptions, openEmbeddedBroker } from '../../broker/embedded.ts'

export const OPTIONS: EmbeddedOptions = {
  'num.partitions': 1,
  'log.disk.reserve.bytes': 0,
  'log.retention.check.interval.ms': 1000,
  'log.read.check.crcs': true,
  'log.cleaner.backoff.ms': 15_000,
  'log.cleaner.dedupe.buffer.size': 1 << 20,
  'log.cleaner.io.max.bytes.per.second': -1,
  'log.open.files.max': 64,
}

/** Small, so that it is full every few commits. */
export const JOURNAL_BYTES = 16 << 10

let started = 0

/** A process of its own on this host: whoever opened before it counts as killed. */
function newProcess(): Processes {
  const self = { host: 'here', pid: 1, bootId: 'boot', startTime: String(++started) }
  return { self, isRunning: other => other.startTime === self.startTime }
}

/** Opens a data directory as a fresh process does, while earlier ones that did not close it are dead. */
export function openAsNewProcess(parts: {
  readonly files: Files
  readonly directory?: string
  readonly clock?: Clock
  readonly log?: Logger
  readonly options?: Partial<EmbeddedOptions>
  readonly internalSegmentBytes?: number
  readonly journalBytes?: number
}): Promise<EmbeddedBroker> {
  return openEmbeddedBroker({
    directory: parts.directory ?? '/data',
    files: parts.files,
    clock: parts.clock ?? systemClock,
    random: new SeededRandom(++started),
    log: parts.log ?? silentLogger,
    options: { ...OPTIONS, ...parts.options },
    processes: newProcess(),
    journalBytes: parts.journalBytes ?? JOURNAL_BYTES,
    ...(parts.internalSegmentBytes === undefined ? {} : { internalSegmentBytes: parts.internalSegmentBytes }),
  })
}
