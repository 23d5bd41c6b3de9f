import type { TransformDefinition } from '../api/index.ts'
import {
  debeziumExtractNewRecordState,
  extractNewRecordState,
} from './extract-new-record-state/extract-new-record-state.ts'
import { parse } from './parse/parse.ts'

/** The built-in transforms, for the catalogue. */
export const TRANSFORMS: readonly TransformDefinition[] = [parse, extractNewRecordState, debeziumExtractNewRecordState]
