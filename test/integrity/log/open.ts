import { type Clock, type Files, type Logger, SeededRandom, silentLogger } from '../../../base/index.ts'
import { type EmbeddedBroker, openEmbeddedBroker } from '../../../broker/embedded.ts'
import { OPTIONS } from '../../support/embedded.ts'

/** None, one that is full every few commits, and one that is full now and then; the entries of the second are small. */
const JOURNAL_BYTES = [0, 4 << 10, 16 << 10]

/**
 * Opens a data directory as a process of which every other one on this host believes that it is dead. The same name and the
 * same seed give the same run.
 */
export function openLog(parts: {
  readonly files: Files
  readonly directory: string
  readonly clock: Clock
  /** Of the process, unique among those of the directory. */
  readonly name: string
  readonly seed: number
  readonly log?: Logger
}): Promise<EmbeddedBroker> {
  const { files, directory, clock, name, seed, log = silentLogger } = parts
  const self = { host: 'here', pid: 1, bootId: 'boot', startTime: name }
  return openEmbeddedBroker({
    directory,
    files,
    clock,
    random: new SeededRandom(seed),
    log,
    options: { ...OPTIONS, 'log.open.files.max': 16 },
    // Small, so that state rolls and is compacted too.
    internalSegmentBytes: 2500,
    journalBytes: JOURNAL_BYTES[Math.abs(seed) % JOURNAL_BYTES.length]!,
    processes: { self, isRunning: other => other.startTime === self.startTime },
  })
}
