import type pg from 'pg'
import { byteSize } from './byte-size.ts'
import { publicationState } from './publication.ts'
import { serverError } from './server-error.ts'
import { dropSlot, dropSlotSql, quoted } from './slot.ts'
import { slotHealth } from './slot-health.ts'
import type { SlotOptions } from './slot-options.ts'

/**
 * Takes back what the connector made at the server, and answers what it did and what it left, a line each. Repeatable: what
 * is gone already is said to be. Rejects with RETRIABLE while a connection has the slot.
 */
export async function cleanUp(
  client: pg.Client,
  options: Pick<SlotOptions, 'slot.name' | 'publication.name'>,
  dropsSlot: boolean,
): Promise<readonly string[]> {
  // The slot first: it is what fills a disk.
  return [
    await cleanSlot(client, options['slot.name'], dropsSlot),
    await cleanPublication(client, options['publication.name']),
  ]
}

/** What may be left at a server that is not asked, a line each. */
export function leftBehind(
  options: Pick<SlotOptions, 'slot.name' | 'publication.name'>,
  place: string,
): readonly string[] {
  const slot = options['slot.name']
  const publication = options['publication.name']
  return [
    `slot ${slot}: PostgreSQL at ${place} was not asked; if it lives, its slot stays and holds WAL, more with every change; drop it with ${dropSlotSql(slot)}`,
    `publication ${publication}: it stays there too; if kts-connect made it, drop it with DROP PUBLICATION IF EXISTS ${quoted(publication)};`,
  ]
}

async function cleanSlot(client: pg.Client, name: string, drops: boolean): Promise<string> {
  const health = await slotHealth(client, name)
  if (health === undefined) return `slot ${name}: there is none`
  const held = byteSize(health.held)
  if (!drops)
    return `slot ${name} stays and holds ${held} of WAL, more with every change; drop it with --drop-slot, or ${dropSlotSql(name)}`
  return (await dropSlot(client, name))
    ? `dropped slot ${name}, which held ${held} of WAL`
    : `slot ${name}: there is none`
}

async function cleanPublication(client: pg.Client, name: string): Promise<string> {
  const state = await publicationState(client, name)
  if (state === undefined) return `publication ${name}: there is none`
  if (!state.madeHere)
    return `publication ${name} stays, since kts-connect did not make it; drop it with DROP PUBLICATION ${quoted(name)};`
  try {
    await client.query(`DROP PUBLICATION IF EXISTS ${quoted(name)}`)
  } catch (error) {
    throw serverError(error, `dropping publication ${name}`)
  }
  return `dropped publication ${name}`
}
