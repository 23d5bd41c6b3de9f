import {
  type Clock,
  type Files,
  ManualClock,
  nodeFiles,
  SeededRandom,
  type SinkProgress,
  silentLogger,
  type TaskContext,
} from '../../runtime/api/index.ts'

/** A task's context that remembers what it was told. */
export interface TestContext extends TaskContext {
  readonly facts: Record<string, string | number>
  readonly counts: Record<string, number>
  readonly saved: SinkProgress[][]
  readonly stop: AbortController
}

export function testContext(
  given: {
    files?: Files
    clock?: Clock
    seed?: number
    task?: number
    definesTransactions?: boolean
    packsJson?: (topic: string) => boolean
    scratch?: string
    env?: Readonly<Record<string, string | undefined>>
  } = {},
): TestContext {
  const stop = new AbortController()
  const facts: Record<string, string | number> = {}
  const counts: Record<string, number> = {}
  const saved: SinkProgress[][] = []
  return {
    pipeline: 'test',
    connector: 'test',
    task: given.task ?? 0,
    clock: given.clock ?? new ManualClock(),
    random: new SeededRandom(given.seed ?? 1),
    files: given.files ?? nodeFiles,
    log: silentLogger,
    env: given.env ?? {},
    signal: stop.signal,
    definesTransactions: given.definesTransactions ?? false,
    scratch: given.scratch ?? '/scratch',
    packsJson: given.packsJson ?? (() => true),
    stop,
    facts,
    counts,
    saved,
    saveState: async progress => void saved.push([...progress]),
    report: told => void Object.assign(facts, told),
    count: (name, by = 1) => {
      counts[name] = (counts[name] ?? 0) + by
    },
  }
}
