import type { CommittedTransaction } from '../changes.ts'
import type { Lsn } from '../lsn.ts'

/** Where a change comes from: what its event's `source` says beside the table. */
export interface ChangeSource {
  /** `false` for a change of the stream; anything else for a row of a snapshot. */
  readonly snapshot:
    | 'true'
    | 'first'
    | 'first_in_data_collection'
    | 'last_in_data_collection'
    | 'last'
    | 'false'
    | 'incremental'
  readonly lsn: Lsn
  /** End of the transaction before; undefined where none is known. */
  readonly lastCommitLsn: Lsn | undefined
  readonly xid: number | undefined
  /** Microseconds since 1970. */
  readonly commitTime: number
  readonly origin: CommittedTransaction['origin']
}
