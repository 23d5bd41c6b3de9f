import { dirname, join, resolve } from 'node:path'
import type { Files } from '../../base/index.ts'
import type { OptionSpecs } from '../api/index.ts'
import { BROKER_OPTIONS, WORKER_OPTIONS } from './common-options.ts'
import { readConnector, SETTINGS_ELSEWHERE } from './connector-options.ts'
import { crossCheck } from './cross-checks.ts'
import { readInputs } from './input-files.ts'
import type { ValueContext } from './option-values.ts'
import { type PipelineFile, readPipelineFile, reportRepeated, type Section } from './pipeline-file.ts'
import { Problems } from './problems.ts'
import { parsePropertiesFile } from './properties-text.ts'
import { PropertyFiles } from './property-files.ts'
import { filesReferredTo, resolveReferences } from './references.ts'
import { readSettings } from './settings.ts'
import { mergeTopics, readTopic } from './topic-options.ts'
import { checkTransactions } from './transaction-checks.ts'
import type { Catalogue, ConfigProblem, SinkConfig, SourceConfig, WorkerConfig } from './types.ts'
import { parseYaml } from './yaml-text.ts'

export interface LoadOptions {
  readonly catalogue: Catalogue
  readonly files: Files
  /** For `${env:NAME}` and KTS_DATA_DIR. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Goes before KTS_DATA_DIR, which goes before `.kts-connect` beside the first file. */
  readonly dataDir?: string | undefined
}

export interface LoadedConfig extends WorkerConfig {
  /** What is probably not meant, but may be. */
  readonly warnings: readonly ConfigProblem[]
}

/**
 * Reads pipeline files (absolute paths; a folder stands for its YAML and JSON files, and a properties file is named) into one configuration. Rejects with a
 * ConfigError that holds every problem of every file. Reads those files and what `${file:…}` names, nothing else.
 */
export async function loadConfig(inputs: readonly string[], options: LoadOptions): Promise<LoadedConfig> {
  const problems = new Problems()
  const { paths, texts } = await readInputs(inputs, options.files, problems)
  const pipelines = texts.flatMap(({ path, text }) => {
    const parse = path.endsWith('.properties') ? parsePropertiesFile : parseYaml
    const root = parse(text, path, problems)
    return (root === undefined ? undefined : readPipelineFile(root, path, problems)) ?? []
  })
  const contextOf = await referenceContexts(pipelines, options)
  const worker = readSection('worker', WORKER_OPTIONS, pipelines, contextOf, problems)
  const broker = readSection('broker', BROKER_OPTIONS, pipelines, contextOf, problems)
  const topics = mergeTopics(
    pipelines.flatMap(p => p.topics.map(section => readTopic(section, contextOf(p), problems))),
    problems,
  )
  const connectors = readConnectors(pipelines, options.catalogue, contextOf, problems)
  crossCheck(connectors, topics, problems)
  checkTransactions(connectors, worker as unknown as WorkerConfig['worker'], problems)
  problems.throwIfAny([...inputs, ...paths])
  const configs = connectors.map(connector => connector.config)
  return {
    files: paths,
    dataDir: dataDirOf(inputs, paths, options),
    worker: worker as unknown as WorkerConfig['worker'],
    broker: broker as unknown as WorkerConfig['broker'],
    topics,
    sources: configs.filter((config): config is SourceConfig => config.kind === 'source'),
    sinks: configs.filter((config): config is SinkConfig => config.kind === 'sink'),
    warnings: problems.warnings,
  }
}

type ContextOf = (pipeline: PipelineFile) => ValueContext

function readConnectors(
  pipelines: readonly PipelineFile[],
  catalogue: Catalogue,
  contextOf: ContextOf,
  problems: Problems,
) {
  reportRepeated(
    'pipeline',
    pipelines.map(p => ({ name: p.name, path: 'name', place: p.namePlace })),
    problems,
  )
  const found = pipelines.flatMap(pipeline => [
    ...pipeline.sources.map(section => ({ pipeline, section, kind: 'source' as const })),
    ...pipeline.sinks.map(section => ({ pipeline, section, kind: 'sink' as const })),
    ...(pipeline.pasted === undefined ? [] : [{ pipeline, section: pipeline.pasted, kind: undefined }]),
  ])
  reportRepeated(
    'connector',
    found.map(f => f.section),
    problems,
  )
  return found.flatMap(
    ({ pipeline, section, kind }) =>
      readConnector(section, kind, pipeline.name, catalogue, contextOf(pipeline), problems) ?? [],
  )
}

function readSection(
  name: 'worker' | 'broker',
  specs: OptionSpecs,
  pipelines: readonly PipelineFile[],
  contextOf: ContextOf,
  problems: Problems,
) {
  const sections = pipelines.flatMap(p => {
    const section = p[name]
    return section === undefined ? [] : [{ section, context: contextOf(p) }]
  })
  return readSettings(name, specs, sections, SETTINGS_ELSEWHERE, problems)
}

/** Reads what `${file:…}` names; where that may lie is itself an option of the worker. */
async function referenceContexts(pipelines: readonly PipelineFile[], options: LoadOptions): Promise<ContextOf> {
  const { env, files } = options
  const propertyFiles = new PropertyFiles()
  const contextOf: ContextOf = ({ file }) => {
    const folder = dirname(file)
    return { folder, resolve: (text, secret) => resolveReferences(text, env, propertyFiles, folder, secret) }
  }
  const worker = readSection('worker', WORKER_OPTIONS, pipelines, contextOf, new Problems())
  const allowed = worker['config.providers.file.param.allowed.paths'] as readonly string[]
  for (const pipeline of pipelines) {
    for (const path of new Set(textsOf(pipeline).flatMap(filesReferredTo))) {
      await propertyFiles.read(files, dirname(pipeline.file), path, allowed)
    }
  }
  return contextOf
}

/** Every text of a file that may hold a reference. */
function textsOf(pipeline: PipelineFile): readonly string[] {
  const { worker, broker, topics, sources, sinks, pasted } = pipeline
  const sections = [worker, broker, pasted, ...topics, ...sources, ...sinks].filter(
    (s): s is Section => s !== undefined,
  )
  const texts: string[] = []
  for (const { value } of sections.flatMap(section => section.options)) {
    // Transforms are maps in a list; their source text has the same references in it.
    if (value.kind === 'list') texts.push(value.source)
    for (const node of value.kind === 'list' ? value.items : [value]) if (node.kind === 'scalar') texts.push(node.text)
  }
  return texts
}

function dataDirOf(inputs: readonly string[], paths: readonly string[], options: LoadOptions): string {
  const given = options.dataDir ?? options.env.KTS_DATA_DIR
  if (given !== undefined && given !== '') return resolve(given)
  const [input] = inputs
  const [path] = paths
  return join(path === undefined || path === input ? dirname(input ?? '.') : input!, '.kts-connect')
}
