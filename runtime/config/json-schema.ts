import { IGNORED_TOPIC_CONFIGS, TOPIC_CONFIGS } from '../../broker/index.ts'
import type { OptionSpecs, SinkConnector, SourceConnector, TransformDefinition } from '../api/index.ts'
import { BROKER_OPTIONS, SINK_OPTIONS, SOURCE_OPTIONS, TOPIC_OPTIONS, WORKER_OPTIONS } from './common-options.ts'
import { CONNECT_OPTIONS } from './connect-options.ts'
import { CONNECTOR_NAME } from './connector-options.ts'
import { spellings } from './option-reader.ts'
import { type JsonSchema, SchemaTree } from './schema-tree.ts'
import { TOPIC_CREATION_OPTIONS } from './topic-creation.ts'
import type { Catalogue } from './types.ts'

/**
 * A JSON Schema (2020-12) of a pipeline file, for completion and checks in editors: every option of the catalogue with its
 * doc, in nested and dotted spelling. It is a little more lenient than `loadConfig`, which has the last word.
 */
export function configSchema(catalogue: Catalogue): JsonSchema {
  const defs: Record<string, JsonSchema> = {}
  const process = new SchemaTree('process', defs)
  process.add(prefixed('worker', WORKER_OPTIONS))
  process.add(prefixed('broker', BROKER_OPTIONS))
  const topic = new SchemaTree('topic', defs)
  topic.add({ ...topicSettings(), ...TOPIC_OPTIONS })
  defs.topic = topic.schema()
  const step = chooser('transform', catalogue.transforms, ['type'], defs, t => t.options)
  defs.transforms = {
    description:
      'What happens to each record, in this order: a list of { type: …, options }, or names with dotted options.',
    anyOf: [{ type: 'string' }, { type: 'array', items: { anyOf: [step, { type: 'string' }] } }],
  }
  const keys = ['type', 'connector.class']
  const sources = chooser('source', catalogue.sources, keys, defs, c => ({
    ...c.options,
    ...SOURCE_OPTIONS,
    ...CONNECT_OPTIONS,
    ...TOPIC_CREATION_OPTIONS,
  }))
  const sinks = chooser('sink', catalogue.sinks, keys, defs, c => ({ ...c.options, ...SINK_OPTIONS }))
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'kts-connect pipeline',
    ...process.schema({
      name: { type: 'string', description: "The pipeline's name; default: the file's." },
      topics: named(
        { anyOf: [{ type: 'null' }, { $ref: '#/$defs/topic' }] },
        TOPIC_NAME,
        'Topics of the log; created when missing.',
      ),
      sources: named(sources, CONNECTOR_NAME.source, 'What is read into the log.'),
      sinks: named(sinks, CONNECTOR_NAME.source, 'Where topics of the log are delivered.'),
    }),
    patternProperties: { '^x-': { description: 'Ignored: a place for anchors.' } },
    $defs: defs,
  }
}

const TOPIC_NAME = '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,249}$'

function named(entry: JsonSchema, pattern: string, description: string): JsonSchema {
  const map = { type: 'object', propertyNames: { anyOf: [{ pattern }, { const: '<<' }] }, additionalProperties: entry }
  return { description, anyOf: [{ type: 'null' }, map] }
}

/** An object whose `type` (or other key) decides which options it may have. */
function chooser<D extends SourceConnector | SinkConnector | TransformDefinition>(
  kind: string,
  definitions: readonly D[],
  keys: readonly string[],
  defs: Record<string, JsonSchema>,
  optionsOf: (definition: D) => OptionSpecs,
): JsonSchema {
  const types = definitions.flatMap(definition => [definition.name, ...definition.aliases])
  for (const definition of definitions) {
    const name = `${kind}.${definition.name}`
    const tree = new SchemaTree(name, defs)
    tree.add(optionsOf(definition))
    const extra = kind === 'transform' ? { type: { enum: types } } : structural(types)
    const needs = required(optionsOf(definition))
    const schema = { description: definition.doc, ...tree.schema(extra), ...(needs.length > 0 && { allOf: needs }) }
    const patterns = {
      ...(schema as { readonly patternProperties?: JsonSchema }).patternProperties,
      '^transforms\\.': {},
    }
    defs[name] = kind === 'transform' ? schema : { ...schema, patternProperties: patterns }
  }
  return {
    type: 'object',
    anyOf: keys.map(key => ({ properties: { [key]: { enum: types } }, required: [key] })),
    allOf: definitions.map(definition => {
      const own = { enum: [definition.name, ...definition.aliases] }
      const chosen = keys.map(key => ({ properties: { [key]: own }, required: [key] }))
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own keyword, in plain data.
      return { if: { anyOf: chosen }, then: { $ref: `#/$defs/${kind}.${definition.name}` } }
    }),
  }
}

function structural(types: readonly string[]): Record<string, JsonSchema> {
  return {
    type: { enum: types, description: 'Which connector: its short name, or a well-known Java class.' },
    'connector.class': { enum: types, description: "Connect's name for type." },
    name: { type: 'string' },
    transforms: { $ref: '#/$defs/transforms' },
  }
}

/** A required option may be given in any spelling, or nested below any prefix of one. */
function required(specs: OptionSpecs): readonly JsonSchema[] {
  const names = [...spellings(specs)]
  return Object.keys(specs).flatMap(name => {
    if (specs[name]!.default !== undefined) return []
    const keys = names.filter(([, owner]) => owner === name).flatMap(([spelling]) => prefixes(spelling))
    return [{ anyOf: [...new Set(keys)].map(key => ({ required: [key] })) }]
  })
}

function prefixes(name: string): readonly string[] {
  const parts = name.split('.')
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'))
}

function prefixed(prefix: string, specs: OptionSpecs): OptionSpecs {
  const aliased = (aliases: readonly string[] = []) => aliases.map(alias => `${prefix}.${alias}`)
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [`${prefix}.${name}`, { ...spec, aliases: aliased(spec.aliases) }]),
  )
}

function topicSettings(): OptionSpecs {
  const ignored = {
    type: 'string',
    default: null,
    doc: 'Taken, without effect: it is for a cluster of brokers.',
  } as const
  return { ...TOPIC_CONFIGS, ...Object.fromEntries(IGNORED_TOPIC_CONFIGS.map(name => [name, ignored])) }
}
