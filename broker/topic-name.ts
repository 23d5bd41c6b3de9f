import { KtsError } from '../base/index.ts'

const NAME = /^[A-Za-z0-9._-]{1,249}$/

/** Throws INVALID_TOPIC for a name that Kafka would not take. It becomes a folder's name, so nothing else may pass. */
export function checkTopicName(name: string): void {
  if (NAME.test(name) && name !== '.' && name !== '..') return
  throw new KtsError(
    'INVALID_TOPIC',
    `topic ${JSON.stringify(name.slice(0, 300))}: expected 1 to 249 of A-Z a-z 0-9 . _ - and not . or ..; choose another name`,
  )
}
