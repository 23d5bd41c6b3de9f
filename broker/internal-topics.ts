/** Kafka's topics for the positions of groups and the states of transactions, and Connect's for positions of connectors. */
export const OFFSETS_TOPIC = '__consumer_offsets'
export const TRANSACTIONS_TOPIC = '__transaction_state'
export const CHECKPOINTS_TOPIC = 'connect-offsets'

/** The broker's own state: anybody may read it, nobody else writes it, since a forged position loses records. */
export const INTERNAL_TOPICS: readonly string[] = [TRANSACTIONS_TOPIC, OFFSETS_TOPIC, CHECKPOINTS_TOPIC]
