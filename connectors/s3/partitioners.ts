/** Which folder a record belongs to. */
export type Partitioner =
  | { readonly kind: 'default'; readonly name: 'default' }
  /** Of one length in UTC: every record of one `periodMs` has the same path. */
  | {
      readonly kind: 'time'
      readonly name: 'hourly' | 'daily'
      readonly periodMs: number
      path(timestamp: number): string
    }

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Short names first, Confluent's classes as aliases. */
export const PARTITIONER_NAMES = [
  'default',
  'hourly',
  'daily',
  'io.confluent.connect.storage.partitioner.DefaultPartitioner',
  'io.confluent.connect.storage.partitioner.HourlyPartitioner',
  'io.confluent.connect.storage.partitioner.DailyPartitioner',
  'io.confluent.connect.storage.partitioner.TimeBasedPartitioner',
] as const

export type PartitionerName = (typeof PARTITIONER_NAMES)[number]

/** Confluent's `path.format`s of the folders we write, each with the time that one folder stands for. */
export const PATH_FORMATS: Readonly<Record<string, number>> = {
  "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH": HOUR_MS,
  "'year'=yyyy/'month'=MM/'day'=dd/'hour'=HH": HOUR_MS,
  "'year'=YYYY/'month'=MM/'day'=dd": DAY_MS,
  "'year'=yyyy/'month'=MM/'day'=dd": DAY_MS,
}

/** `pathFormat` decides for the TimeBasedPartitioner alone; the others know their folders. */
export function partitionerOf(name: PartitionerName, pathFormat: string | undefined): Partitioner {
  const periodMs = /TimeBased/.test(name) ? PATH_FORMATS[pathFormat ?? ''] : undefined
  if (periodMs === HOUR_MS || /hourly/i.test(name))
    return { kind: 'time', name: 'hourly', periodMs: HOUR_MS, path: hourPath }
  if (periodMs === DAY_MS || /daily/i.test(name))
    return { kind: 'time', name: 'daily', periodMs: DAY_MS, path: dayPath }
  return { kind: 'default', name: 'default' }
}

/** What a Date can hold; a record beyond it is a bad record. */
const TIMESTAMP_MAX = 8.64e15

/** False for a record without a time (-1) and for one no calendar has. */
export function hasTime(timestamp: number): boolean {
  return timestamp >= 0 && timestamp <= TIMESTAMP_MAX
}

function dayPath(timestamp: number): string {
  const date = new Date(timestamp)
  const two = (n: number) => String(n).padStart(2, '0')
  const year = String(date.getUTCFullYear()).padStart(4, '0')
  return `year=${year}/month=${two(date.getUTCMonth() + 1)}/day=${two(date.getUTCDate())}`
}

function hourPath(timestamp: number): string {
  return `${dayPath(timestamp)}/hour=${String(new Date(timestamp).getUTCHours()).padStart(2, '0')}`
}
