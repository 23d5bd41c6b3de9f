import { mainSuite } from './main-suite.ts'
import type { Suite } from './suite.ts'

/** What `--suite` may name. */
export const SUITES: readonly Suite[] = [mainSuite]
