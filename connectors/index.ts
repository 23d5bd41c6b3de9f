import type { SinkConnector, SourceConnector } from '../runtime/api/index.ts'
import { fileSink } from './file/sink.ts'
import { fileSource } from './file/source.ts'
import { postgresSource } from './postgres/source.ts'
import { s3Sink } from './s3/sink.ts'
import { verifiableSink, verifiableSource } from './verifiable/index.ts'

/** The built-in connectors, for the catalogue. */
export const SOURCES: readonly SourceConnector[] = [fileSource, postgresSource, verifiableSource]
export const SINKS: readonly SinkConnector[] = [fileSink, s3Sink, verifiableSink]
