import { open } from 'node:fs/promises'
import { type Clock, type Random, SeededRandom, sleep } from '../base/index.ts'
import { accessLogChunk, accessLogLine } from './access-log.ts'

const CHUNK_BYTES = 1 << 20
// 2026-01-01: bulk logs are the same bytes for the same seed, whenever they are made.
const BULK_START_MS = Date.UTC(2026, 0, 1)
const BULK_STEP_MS = 10

export interface WrittenLog {
  readonly lines: number
  readonly bytes: number
}

/**
 * Writes a new access log of at most `bytes` bytes (the last line is whole), replacing what was there; same seed, same
 * bytes. For benchmarks and tests: hundreds of megabytes a second, bounded memory.
 */
export async function writeAccessLog(file: string, bytes: number, seed: number): Promise<WrittenLog> {
  const random = new SeededRandom(seed)
  const handle = await open(file, 'w', 0o644)
  let written = 0
  let lines = 0
  let timeMs = BULK_START_MS
  try {
    while (bytes - written > 400 || lines === 0) {
      const chunk = accessLogChunk(random, Math.min(CHUNK_BYTES, bytes - written), timeMs, BULK_STEP_MS)
      await handle.writeFile(chunk.text, 'latin1')
      written += chunk.text.length
      lines += chunk.lines
      timeMs = chunk.nextMs
    }
  } finally {
    await handle.close()
  }
  return { lines, bytes: written }
}

/** Appends made-up requests to `file` as a busy little server would, until `signal` aborts: `linesPerSecond` of them. */
export async function growAccessLog(
  file: string,
  linesPerSecond: number,
  options: { random: Random; clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { random, clock, signal } = options
  const handle = await open(file, 'a', 0o644)
  try {
    while (!signal.aborted) {
      const count = Math.max(1, Math.round(linesPerSecond / 10))
      const lines = Array.from({ length: count }, () => accessLogLine(random, clock.now()))
      await handle.appendFile(`${lines.join('\n')}\n`, 'latin1')
      await sleep(clock, (count * 1000) / linesPerSecond, signal)
    }
  } finally {
    await handle.close()
  }
}
