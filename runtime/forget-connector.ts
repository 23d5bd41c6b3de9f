import type { Broker } from '../broker/index.ts'
import { forgetTaskCount, taskCounts, writerId } from './earlier-tasks.ts'
import { groupOf } from './sink-run.ts'

/**
 * Forgets a connector that does not run: its positions, a sink's state, and the positions of its group. Its earlier
 * tasks are fenced before, so that nothing they left undecided comes after. Answers what it did, a line each; [] when
 * nothing was known of it.
 */
export async function forgetConnector(broker: Broker, name: string): Promise<readonly string[]> {
  const done: string[] = []
  const runs = await taskCounts(broker, name)
  for (const { pipeline, tasks } of runs) {
    for (let task = 0; task < tasks; task++) {
      const writer = await broker.writer(writerId({ pipeline, name }, task))
      await writer.close()
    }
  }
  const checkpoints = await broker.checkpoints(name)
  const positions = (await broker.committed(groupOf({ name }))).length
  if (positions > 0) {
    await broker.forgetGroup(groupOf({ name }))
    done.push(`forgot ${count(positions, 'position')} of group ${groupOf({ name })}`)
  }
  if (checkpoints.length > 0) {
    const writer = await broker.writer(`${name}-delete`)
    const transaction = await writer.begin()
    transaction.checkpoint(checkpoints.map(({ partition }) => ({ connector: name, partition, value: null })))
    await transaction.commit()
    await writer.close()
    done.push(`forgot ${count(checkpoints.length, 'checkpoint')}`)
  }
  // Last: until then a delete that was cut short knows what to fence.
  for (const { pipeline } of runs) await forgetTaskCount(broker, { pipeline, name })
  return done
}

function count(of: number, noun: string): string {
  return `${of} ${noun}${of === 1 ? '' : 's'}`
}
