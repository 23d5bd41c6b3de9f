/** The door of this folder: what a server tells, as Debezium's events. */
export type { ChangeSource } from './change-source.ts'
export { EventBatch } from './event-batch.ts'
export { EventColumns } from './event-columns.ts'
export { Events, type EventsParts } from './events.ts'
export type { TableEvents } from './table-events.ts'
