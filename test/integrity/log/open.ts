import { type Clock, type Files, SeededRandom, silentLogger } from '../../../base/index.ts'
import { type EmbeddedBroker, openEmbeddedBroker } from '../../../broker/embedded.ts'
import { OPTIONS } from '../../support/embedded.ts'

let opened = 0

/** Opens a data directory as a process of which every other one on this host believes that it is dead. */
export function openLog(files: Files, directory: string, clock: Clock): Promise<EmbeddedBroker> {
  const self = { host: 'here', pid: process.pid, bootId: 'boot', startTime: `${process.pid}-${++opened}` }
  return openEmbeddedBroker({
    directory,
    files,
    clock,
    random: new SeededRandom(process.pid * 1000 + opened),
    log: silentLogger,
    options: { ...OPTIONS, 'log.open.files.max': 16 },
    processes: { self, isRunning: other => other.startTime === self.startTime },
  })
}
