import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../base/index.ts'
import { compareLines } from './checker.ts'
import { RotatingLogs } from './rotating-logs.ts'
import type { Load, Suite } from './suite.ts'

export interface LinesPipeline {
  /** Options of the `s3` sink, in YAML's flow style. */
  readonly sink: string
  /** Options of the `file` source, likewise. */
  readonly source?: string
  /** Hours that lines carry the time of; then they are text. */
  readonly hours?: readonly string[]
  /** Below the directory: where a topic's objects lie. */
  readonly objects: string
  /** The line of a log that a line of an object stands for. */
  readonly restore?: (line: string) => string
}

// Small limits, so that kills meet rolls, commits and finished objects often.
const pipelineOf = ({ sink, source = '' }: LinesPipeline) => `
name: integrity
worker:
  rest.port: 0
  offset.flush.interval.ms: 100ms
topics:
  lines: { segment.bytes: 1MiB }
sources:
  logs: { type: file, paths: [logs/*.log], topic: lines, poll.interval.ms: 100ms, ${source} }
sinks:
  archive: { type: s3, topics: [lines], ${sink} }
`

/** Lines of rotated files through the log into objects. */
export function linesLoad(directory: string, random: Random, pipeline: LinesPipeline): Load {
  const logs = join(directory, 'logs')
  mkdirSync(logs)
  const config = join(directory, 'pipeline.yaml')
  writeFileSync(config, pipelineOf(pipeline))
  const writer = new RotatingLogs(logs, 4, 60, random, pipeline.hours)
  return {
    config,
    get written() {
      return writer.written
    },
    step: async () => writer.step(),
    known() {
      writer.mayRotate = true
    },
    finish: async () => writer.finish(),
    check: async () => compareLines(logs, join(directory, pipeline.objects), pipeline.restore),
  }
}

/** The main job. */
export const mainSuite: Suite = {
  name: 'main',
  doc: 'file → log → object directory, files rotated by rename',
  recordsMin: 100_000,
  prepare: async (directory, random) =>
    linesLoad(directory, random, {
      sink: 'store.url: ./objects, format: text, compression: gzip, flush.size: 2000, rotate.idle.ms: 1s',
      objects: 'objects',
    }),
}
