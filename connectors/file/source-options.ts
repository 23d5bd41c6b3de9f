import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'

export type FileSourceOptions = OptionValues<typeof FILE_SOURCE_OPTIONS>

export const FILE_SOURCE_OPTIONS = defineOptions({
  paths: {
    type: 'list',
    nonEmpty: true,
    paths: true,
    importance: 'high',
    aliases: ['file', 'path', 'include'],
    doc: 'Files to follow: paths and globs (`*`, `?`, `[a-z]`, `{a,b}`, `**`). Files that appear later are followed too.',
    examples: [['/var/log/nginx/access.log'], ['/var/log/app/**/*.log']],
  },
  exclude: {
    type: 'list',
    paths: true,
    default: [],
    doc: 'Paths and globs to leave out of what the globs of `paths` find.',
  },
  topic: { type: 'string', importance: 'high', doc: 'Topic the lines go to.' },
  'start.position': {
    type: 'enum',
    values: ['beginning', 'end'],
    default: 'beginning',
    doc: 'Where reading begins in files that are there when the connector starts for the very first time. Files that appear later are always read from the beginning.',
  },
  'at.end': {
    type: 'enum',
    values: ['follow', 'stop'],
    default: 'follow',
    doc: 'At the end of the files: `follow` waits for more; `stop` emits what is left as a last line and finishes.',
  },
  'max.line.bytes': {
    type: 'bytes',
    default: 1_000_000,
    min: 1,
    max: 1 << 30,
    doc: 'A longer line is left out, counted as `lines.too.long` and named in the log; the next line is read as ever. Must leave room below the `max.message.bytes` of the topic (1 MiB), of which the batch itself takes about a hundred bytes.',
  },
  'batch.bytes': {
    type: 'bytes',
    default: 960 << 10,
    min: 4096,
    max: 64 << 20,
    importance: 'low',
    doc: 'Most bytes read in one go, over all files. As lines of usual length they then fill one batch of the log (1 MiB).',
  },
  'poll.interval.ms': {
    type: 'duration',
    default: 1000,
    min: 10,
    doc: 'How often directories are listed and files looked at where the file system tells of no change. Stretched for many files, so that looking costs a few percent of a core.',
  },
  'rotate.wait.ms': {
    type: 'duration',
    default: 30_000,
    min: 0,
    doc: 'How long a rotated file must not have grown before its last line counts as complete, even without a newline.',
  },
})
