import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../base/index.ts'
import { compareLines } from './checker.ts'
import { RotatingLogs } from './rotating-logs.ts'
import type { Load, Suite } from './suite.ts'

// Small limits, so that kills meet rolls, commits and finished objects often.
const PIPELINE = `
name: integrity
worker:
  rest.port: 0
  offset.flush.interval.ms: 100ms
topics:
  lines: { segment.bytes: 1MiB }
sources:
  logs:
    type: file
    paths: [logs/*.log]
    topic: lines
    poll.interval.ms: 100ms
sinks:
  archive:
    type: s3
    topics: [lines]
    store.url: ./objects
    format: text
    compression: gzip
    flush.size: 2000
    rotate.idle.ms: 1s
`

/** The main job: lines of rotated files through the log into objects. */
export const mainSuite: Suite = {
  name: 'main',
  doc: 'file → log → object directory, files rotated by rename',
  recordsMin: 100_000,
  async prepare(directory: string, random: Random): Promise<Load> {
    const logs = join(directory, 'logs')
    mkdirSync(logs)
    const config = join(directory, 'pipeline.yaml')
    writeFileSync(config, PIPELINE)
    const writer = new RotatingLogs(logs, 4, 60, random)
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
      check: async () => compareLines(logs, join(directory, 'objects')),
    }
  },
}
