import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'
import { CONNECTION_OPTIONS } from './connection-options.ts'
import { EVENT_OPTIONS } from './event-options.ts'
import { PASTED_OPTIONS } from './pasted-options.ts'
import { SLOT_OPTIONS } from './slot-options.ts'
import { SNAPSHOT_OPTIONS } from './snapshot-options.ts'
import { TYPE_OPTIONS } from './type-options.ts'

/** All of a `postgres` source's, by what they are about. */
export const POSTGRES_OPTIONS = defineOptions({
  ...CONNECTION_OPTIONS,
  ...EVENT_OPTIONS,
  ...SLOT_OPTIONS,
  ...SNAPSHOT_OPTIONS,
  ...TYPE_OPTIONS,
  ...PASTED_OPTIONS,
})

export type PostgresOptions = OptionValues<typeof POSTGRES_OPTIONS>
