import type pg from 'pg'
import { errorMessage, type Logger } from '../../runtime/api/index.ts'
import { parseLsn } from './lsn.ts'
import type { TimelineEnd } from './slot-check.ts'

/**
 * Where the timelines before this one were left, from the server's history file. A server that no longer has it is
 * believed, with a warning: then only its current position tells that a failover lost changes.
 */
export async function timelineHistory(
  replication: pg.Client,
  timeline: number,
  log: Logger,
): Promise<readonly TimelineEnd[]> {
  if (timeline <= 1) return []
  try {
    const { rows } = await replication.query<{ content: Buffer | string }>(`TIMELINE_HISTORY ${timeline}`)
    return parseHistory(rows[0]!.content.toString())
  } catch (error) {
    log.warn(
      { timeline },
      `the history of timeline ${timeline} could not be read, so a failover that lost changes may not be noticed: ${errorMessage(error)}`,
    )
    return []
  }
}

/** Lines of timeline, LSN and reason; comments begin with #. */
export function parseHistory(text: string): TimelineEnd[] {
  return text.split('\n').flatMap(line => {
    const match = /^\s*(\d+)\s+([0-9A-F]+\/[0-9A-F]+)/i.exec(line)
    return match === null ? [] : [{ timeline: Number(match[1]), end: parseLsn(match[2]!) }]
  })
}
