import { linesLoad } from './main-suite.ts'
import type { Suite } from './suite.ts'

/** Where an object ends is up to the clock alone, and four hours' folders are filled at once. */
export const objectsClockSuite: Suite = {
  name: 'objects-clock',
  doc: 'objects cut by the clock, in hourly folders',
  recordsMin: 100_000,
  prepare: async (directory, random) =>
    linesLoad(directory, random, {
      source: 'transforms: [{ type: Parse, format: "$time_iso8601 $line" }]',
      hours: ['2026-11-20T13', '2026-11-20T14', '2026-11-20T15', '2026-11-20T16'],
      sink: [
        'store.url: ./objects, format: json, compression: gzip, partitioner: hourly, partitioner.max.open.files: 3',
        'rotate.schedule.interval.ms: 200ms, rotate.idle.ms: 100ms',
      ].join(', '),
      objects: 'objects',
      restore: line => {
        const { time_iso8601: time, line: rest } = JSON.parse(line)
        return `${time} ${rest}`
      },
    }),
}
