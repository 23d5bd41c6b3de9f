import type { SinkConnector, SourceConnector } from '../runtime/api/index.ts'
import { verifiableSink, verifiableSource } from './verifiable/index.ts'

/** The built-in connectors, for the catalogue. */
export const SOURCES: readonly SourceConnector[] = [verifiableSource]
export const SINKS: readonly SinkConnector[] = [verifiableSink]
