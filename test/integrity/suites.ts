import { mainSuite } from './main-suite.ts'
import { objectsClockSuite } from './objects-clock-suite.ts'
import { objectsS3Suite } from './objects-s3-suite.ts'
import { postgresSuite } from './postgres-suite.ts'
import type { Suite } from './suite.ts'
import { transactionsSuite } from './transactions-suite.ts'

/** What `--suite` may name. */
export const SUITES: readonly Suite[] = [mainSuite, objectsS3Suite, objectsClockSuite, transactionsSuite, postgresSuite]
