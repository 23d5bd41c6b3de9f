import { reactionTo } from '../../runtime/api/index.ts'
import type { OpenObject } from './open-object.ts'

/** Objects that talk to the store at once; more would wait in the HTTP client, where time-outs already run. */
const AT_ONCE = 16

/**
 * Settles all, whether or not one of them fails, then rejects with the gravest failure: what stops a task is told before
 * what passes.
 */
export async function settleAll(objects: readonly OpenObject[]): Promise<void> {
  const failures: unknown[] = []
  const waiting = objects.values()
  const work = async () => {
    for (const object of waiting) await object.settle().catch(error => failures.push(error))
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, objects.length) }, work))
  if (failures.length > 0) throw failures.find(error => reactionTo(error) !== 'retry') ?? failures[0]
}
