import type { Converter } from './api/index.ts'
import type { SourceConfig } from './config/types.ts'
import { converterNamed } from './converters/index.ts'

/** Key and value converter of a topic, for one connector. */
export interface TopicConverters {
  readonly key: Converter
  readonly value: Converter
}

/** Names and settings of the converters, by option; text where a topic remembers them. */
export type ConverterOptions = Readonly<Record<string, unknown>>

const SETTINGS = ['schemas.enable', 'replace.null.with.default', 'decimal.format', 'schemas.cache.size']

/** Of each option the first layer that says something counts. */
export function convertersOf(layers: readonly ConverterOptions[]): TopicConverters {
  const chosen = (option: string) => layers.find(layer => layer[option] !== undefined)?.[option]
  return { key: converterOf('key', chosen), value: converterOf('value', chosen) }
}

/** JSON as a source may pack it itself: nothing beside the value, and nothing replaced in it. */
export function takesPackedJson({ key, value }: TopicConverters): boolean {
  return [key, value].every(({ encoding, settings = {} }) => encoding === 'json' && Object.keys(settings).length === 0)
}

/** What a source writes when nobody says otherwise: json behind a parser, else as its connector says. */
export function defaultConverters(source: SourceConfig): ConverterOptions {
  const plain = source.connector.defaultConverter
  const structured = source.transforms.some(t => t.transform.structured)
  return { 'key.converter': plain, 'value.converter': structured ? 'json' : plain }
}

function converterOf(of: 'key' | 'value', chosen: (option: string) => unknown): Converter {
  const settings = Object.fromEntries(
    SETTINGS.map(name => [name, fromNote(chosen(`${of}.converter.${name}`))]).filter(
      ([, value]) => value !== undefined,
    ),
  )
  return converterNamed(String(chosen(`${of}.converter`)), settings)
}

/** A topic's settings are text. */
function fromNote(value: unknown): unknown {
  return value === 'true' || value === 'false' ? value === 'true' : value
}

/** What of a connector's options is about converters. */
export function givenConverters(options: ConverterOptions): ConverterOptions {
  return Object.fromEntries(Object.entries(options).filter(([name, value]) => isNote(name) && value !== undefined))
}

/** What a topic remembers, as its settings. */
export function converterNotes(converters: TopicConverters): Readonly<Record<string, string>> {
  const notes: Record<string, string> = {}
  for (const of of ['key', 'value'] as const) {
    const { name, settings = {} } = converters[of]
    notes[`${of}.converter`] = name
    for (const [option, value] of Object.entries(settings)) notes[`${of}.converter.${option}`] = value
  }
  return notes
}

/** A topic's settings: what an earlier source had remembered is forgotten where this one says something. */
export function withoutConverterNotes(
  configs: Readonly<Record<string, string>>,
  notes: Readonly<Record<string, string>>,
) {
  if (Object.keys(notes).length === 0) return configs
  return Object.fromEntries(Object.entries(configs).filter(([name]) => !isNote(name)))
}

function isNote(option: string): boolean {
  return /^(key|value)\.converter(\.|$)/.test(option)
}
