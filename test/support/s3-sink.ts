import { S3_OPTIONS, type S3Options } from '../../connectors/s3/options.ts'
import { s3Sink } from '../../connectors/s3/sink.ts'
import { type Files, ManualClock, type SinkTask } from '../../runtime/api/index.ts'
import { type TestContext, testContext } from './task-context.ts'

/** Defaults, but plain text into a directory. */
export function optionsOf(given: { [K in keyof S3Options]?: S3Options[K] | undefined }): S3Options {
  const defaults = Object.fromEntries(
    Object.entries(S3_OPTIONS).map(([name, spec]) => [name, spec.default ?? undefined]),
  )
  const quiet = { 'store.url': '/exports', 's3.compression.type': 'none', 'format.class': 'text' }
  return { ...defaults, ...quiet, ...given } as S3Options
}

export interface SinkRun {
  readonly task: SinkTask
  readonly context: TestContext
  readonly clock: ManualClock
  /** Committed offset of t-0 after a preCommit. */
  commit(): Promise<number | undefined>
}

export async function startSink(files: Files, given: Partial<S3Options> = {}, offset = 0): Promise<SinkRun> {
  const clock = new ManualClock()
  const context = testContext({ files, clock })
  const task = await s3Sink.open(optionsOf(given), context)
  await task.open([{ topic: 't', partition: 0, offset, state: null }])
  const commit = async () => (await task.preCommit()).find(p => p.topic === 't' && p.partition === 0)?.offset
  return { task, context, clock, commit }
}

/** Finished objects below a directory, by key. */
export async function objectsIn(files: Files, folder = '/exports'): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>()
  for (const name of await files.list(folder).catch(() => [] as readonly string[])) {
    const path = `${folder}/${name}`
    if (name === '.unfinished') continue
    const { kind, size } = await files.stat(path)
    if (kind === 'directory') {
      for (const [key, bytes] of await objectsIn(files, path)) found.set(key, bytes)
      continue
    }
    const bytes = Buffer.alloc(size)
    const file = await files.open(path, 'read')
    await file.read(bytes, 0, size, 0)
    await file.close()
    found.set(path.slice('/exports/'.length), bytes)
  }
  return found
}

export async function textsIn(files: Files): Promise<Record<string, string>> {
  const objects = [...(await objectsIn(files))].sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(objects.map(([key, bytes]) => [key, bytes.toString()]))
}

export const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `line ${from + i}`)
