import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { IGNORED_TOPIC_CONFIGS, TOPIC_CONFIGS } from '../broker/index.ts'
import { SINKS, SOURCES } from '../connectors/index.ts'
import type { OptionSpec, OptionSpecs } from '../runtime/api/index.ts'
import {
  BROKER_OPTIONS,
  CONNECT_OPTIONS,
  describeOptions,
  type OptionRow,
  SINK_OPTIONS,
  SOURCE_OPTIONS,
  TOPIC_OPTIONS,
  TRANSFORMS,
  WORKER_OPTIONS,
} from '../runtime/index.ts'

/** What stands above it in docs/configuration.md is written by hand, what stands below by `npm run docs`. */
const MARK = '<!-- From here on written by `npm run docs` out of the declarations in the code. -->'

export const PAGE = fileURLToPath(new URL('configuration.md', import.meta.url))

/** The page as it must be: its hand-written part, and the options as they are declared. */
export function pageOf(current: string): string {
  const end = current.indexOf(MARK)
  if (end < 0) throw new Error(`docs/configuration.md: expected the line ${MARK}`)
  return `${current.slice(0, end)}${MARK}\n\n${reference()}`
}

const CREATION =
  'How topics are made that it writes to and that `topics:` does not name, say `topic.creation.default.partitions: 4`, and `topic.creation.default.` before any setting of a topic (`max.message.bytes`, `retention.ms`, …), as in Kafka Connect (KIP-158): topics that are there already stay as they are. `topic.creation.groups: compacted` names groups that go before `default`: `topic.creation.compacted.include` and `.exclude` choose their topics by regular expressions for whole names, and the other options are as of `default`, whose partitions they have where they say nothing.'

function reference(): string {
  const own = ({ kind, name, aliases, doc, options }: (typeof SOURCES | typeof SINKS)[number]) =>
    section(3, `${name} ${kind}`, `${doc}${alsoKnown(aliases)}`, options)
  const ignored = `Taken without effect, since they are for a cluster of brokers: ${listed(IGNORED_TOPIC_CONFIGS)}.`
  return [
    section(2, 'The process: `worker:`', 'One process, whatever number of files it was given.', WORKER_OPTIONS),
    section(2, 'The log: `broker:`', 'Names are those of a Kafka broker where it has such a setting.', BROKER_OPTIONS),
    section(2, 'A topic: `topics.<name>:`', `Kafka's topic settings, and ours. ${ignored}`, {
      ...TOPIC_OPTIONS,
      ...TOPIC_CONFIGS,
    }),
    section(2, 'Every source: `sources.<name>:`', `Beside the options of its connector. ${CREATION}`, {
      ...SOURCE_OPTIONS,
      ...CONNECT_OPTIONS,
    }),
    section(2, 'Every sink: `sinks.<name>:`', 'Beside the options of its connector.', SINK_OPTIONS),
    '## Connectors\n',
    ...SOURCES.map(own),
    ...SINKS.map(own),
    '## Transforms\n',
    ...TRANSFORMS.map(({ name, aliases, doc, options }) => {
      const text = `${doc}${alsoKnown(aliases)}`
      // Under the name of a Java class only defaults differ, which its text names.
      return name.includes('.') ? `### ${name}\n\n${text}\n` : section(3, name, text, options)
    }),
  ].join('\n')
}

function section(level: number, title: string, text: string, specs: OptionSpecs): string {
  // Those without a group first: under the heading of another they would seem to belong to it.
  const groups = new Map<string, string[]>([['', []]])
  for (const row of describeOptions(specs)) {
    const spec = specs[row.name]!
    const group = spec.group ?? ''
    groups.set(group, [...(groups.get(group) ?? []), tableRow(row, spec)])
  }
  const tables = [...groups].map(([group, rows]) => {
    if (rows.length === 0) return ''
    const heading = group === '' ? [] : [`**${group[0]!.toUpperCase()}${group.slice(1)}**\n`]
    return [...heading, '| option | takes | default | |', '|---|---|---|---|', ...rows, ''].join('\n')
  })
  return [`${'#'.repeat(level)} ${title}\n`, `${text}\n`, ...tables.filter(table => table !== '')].join('\n')
}

function tableRow(row: OptionRow, spec: OptionSpec): string {
  const names = [row.name, ...row.aliases].map(code).join(', ')
  const cells = [names, takes(row, spec), row.required ? '**required**' : defaultOf(spec), row.doc]
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function takes(row: OptionRow, spec: OptionSpec): string {
  if (spec.type === 'enum') {
    const short = spec.values.filter(value => !/^(org|io)\./.test(value))
    if (short.length === 0 || short.length === spec.values.length) return listed(spec.values)
    return `${listed(short)}, or Confluent's class`
  }
  if (spec.type === 'duration' || spec.type === 'bytes') {
    return `${spec.type === 'bytes' ? 'size' : 'duration'}${spec.unset === true ? ', or -1' : ''}`
  }
  return row.takes
}

const MS = [86_400_000, 3_600_000, 60_000, 1000, 1] as const
const MS_NAMES = ['d', 'h', 'm', 's', 'ms'] as const
const BYTES = [1 << 30, 1_000_000_000, 1 << 20, 1_000_000, 1 << 10, 1000, 1] as const
const BYTES_NAMES = ['GiB', 'GB', 'MiB', 'MB', 'KiB', 'kB', ''] as const

/** As one would write it in YAML. */
function defaultOf({ type, default: value }: OptionSpec): string {
  if (value === undefined || value === null || type === 'family' || (Array.isArray(value) && value.length === 0))
    return ''
  if (typeof value !== 'number' || value <= 0 || (type !== 'duration' && type !== 'bytes')) return code(String(value))
  const [units, names] = type === 'duration' ? [MS, MS_NAMES] : [BYTES, BYTES_NAMES]
  const unit = units.findIndex(size => value % size === 0)
  return code(`${value / units[unit]!}${names[unit]}`)
}

function alsoKnown(aliases: readonly string[]): string {
  return aliases.length === 0 ? '' : ` Also as ${listed(aliases)}.`
}

function listed(names: readonly string[]): string {
  return names.map(code).join(', ')
}

function code(text: string): string {
  return `\`${text}\``
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, pageOf(readFileSync(PAGE, 'utf8')))
