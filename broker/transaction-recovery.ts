import { errorCode, errorMessage, type Logger } from '../base/index.ts'
import type { Partition } from './partition.ts'
import { isCommitted, type TransactionLog } from './transaction-log.ts'
import { Markers } from './transaction-markers.ts'
import { syncAll } from './transactions.ts'

export interface RecoveredTransactions {
  /** What found no room on the disk is written before anything else is committed. */
  readonly markers: Markers
  /** The highest epoch of each producer id that any partition has seen. */
  readonly producerEpochs: ReadonlyMap<number, number>
}

/**
 * Ends the transactions that are open in partitions: committed are those that the transaction log says so of, the others
 * are aborted. To be called before anybody reads.
 */
export async function recoverTransactions(
  partitions: readonly Partition[],
  log: TransactionLog,
  exists: Markers['exists'],
  logger: Logger,
): Promise<RecoveredTransactions> {
  const committed = isCommitted(log.states)
  const markers = new Markers(exists)
  const ended = { commit: new Set<string>(), abort: new Set<string>() }
  const touched = new Set<Partition>()
  for (const partition of partitions) {
    for (const { producerId, epoch } of partition.openTransactions()) {
      const outcome = committed(producerId, epoch) ? 'commit' : 'abort'
      ended[outcome].add(`${producerId} ${epoch}`)
      touched.add(partition)
      markers.end([partition], { id: producerId, epoch: epochOfMarker(epoch) }, outcome)
    }
  }
  if (touched.size > 0) {
    logger.info(
      { committed: ended.commit.size, aborted: ended.abort.size, partitions: touched.size },
      'transactions that the last run left open were ended',
    )
    await writeMarkers(markers, logger)
    await syncAll(touched)
  }
  return { markers, producerEpochs: highestEpochs(partitions) }
}

/** A full disk keeps nobody from reading: all know how the transactions ended, only the markers have to wait. */
async function writeMarkers(markers: Markers, logger: Logger): Promise<void> {
  try {
    await markers.settled()
  } catch (error) {
    if (errorCode(error) !== 'DISK_FULL') throw error
    logger.warn({ reason: errorMessage(error) }, 'markers of transactions will be written when the disk has room')
  }
}

/** Kafka raises the epoch with each end of a transaction, as far as an int16 goes. */
function epochOfMarker(epoch: number): number {
  return Math.min(epoch + 1, 0x7fff)
}

function highestEpochs(partitions: readonly Partition[]): ReadonlyMap<number, number> {
  const highest = new Map<number, number>()
  for (const partition of partitions) {
    for (const [id, epoch] of partition.producerEpochs()) highest.set(id, Math.max(epoch, highest.get(id) ?? -1))
  }
  return highest
}
