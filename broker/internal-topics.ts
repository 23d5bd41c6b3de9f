/** Kafka's topics for the positions of groups and the states of transactions, and Connect's for positions of connectors. */
export const OFFSETS_TOPIC = '__consumer_offsets'
export const TRANSACTIONS_TOPIC = '__transaction_state'
export const CHECKPOINTS_TOPIC = 'connect-offsets'

/** The broker's own state: anybody may read it, nobody else writes it, since a forged position loses records. */
export const INTERNAL_TOPICS: readonly string[] = [TRANSACTIONS_TOPIC, OFFSETS_TOPIC, CHECKPOINTS_TOPIC]

/** Small, so that what is superseded can go soon. */
const SEGMENT_BYTES = 4 << 20

/** Their settings by name. */
export function internalTopics(segmentBytes = SEGMENT_BYTES): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const configs = {
    'cleanup.policy': 'compact',
    'segment.bytes': String(segmentBytes),
    'max.message.bytes': String(16 << 20),
  }
  return new Map(INTERNAL_TOPICS.map(name => [name, configs]))
}
