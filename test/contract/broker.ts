import { afterEach, beforeEach, describe } from 'vitest'
import type { Broker } from '../../broker/index.ts'
import { adminContract } from './broker-admin.ts'
import { groupContract } from './broker-groups.ts'
import { readingContract } from './broker-reading.ts'
import { restartContract } from './broker-restart.ts'
import { transactionContract } from './broker-transactions.ts'
import { writingContract } from './broker-writing.ts'

export interface BrokerHarness {
  readonly broker: Broker
  /** Closes in good order and opens what was there again. Absent: this engine keeps nothing. */
  readonly reopen?: () => Promise<Broker>
  /** Drops the engine as a kill does and opens what was there again. */
  readonly crash?: () => Promise<Broker>
  close(): Promise<void>
}

export type Using = () => BrokerHarness

/**
 * What every engine behind broker/port.ts promises. `open` gives a fresh broker, whose `num.partitions` is 1; `restarts`
 * says that it keeps what it was given.
 */
export function brokerContract(
  name: string,
  open: () => Promise<BrokerHarness>,
  options: { readonly restarts: boolean },
): void {
  describe(`the ${name} broker`, () => {
    let harness: BrokerHarness
    beforeEach(async () => {
      harness = await open()
    })
    afterEach(async () => {
      await harness.close()
    })
    const using: Using = () => harness
    writingContract(using)
    readingContract(using)
    transactionContract(using)
    groupContract(using)
    adminContract(using)
    if (options.restarts) restartContract(using)
  })
}
