/** Kafka's topic for the positions of groups, and Connect's for those of connectors. */
export const OFFSETS_TOPIC = '__consumer_offsets'
export const CHECKPOINTS_TOPIC = 'connect-offsets'

/** The broker's own state: anybody may read it, nobody else writes it, since a forged position loses records. */
export const INTERNAL_TOPICS: readonly string[] = [OFFSETS_TOPIC, CHECKPOINTS_TOPIC]
