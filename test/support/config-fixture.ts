import { type Files, SeededRandom, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { defineOptions, defineSink, defineSource, defineTransform } from '../../runtime/api/index.ts'
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../runtime/config/load.ts'
import type { Catalogue } from '../../runtime/config/types.ts'

/** A small catalogue in the shape of the real one. Its connectors cannot run. */
export const TEST_CATALOGUE: Catalogue = {
  sources: [
    defineSource({
      kind: 'source',
      name: 'file',
      aliases: ['org.apache.kafka.connect.file.FileStreamSourceConnector'],
      version: '1',
      doc: 'Tails files.',
      options: defineOptions({
        paths: { type: 'list', paths: true, nonEmpty: true, aliases: ['file'], doc: 'Files.' },
        topic: { type: 'string', doc: 'Topic.' },
        'line.bytes.max': { type: 'bytes', default: 1 << 20, min: 1, doc: 'Longest line.' },
        'tail.from.start': { type: 'boolean', default: true, doc: 'Where to begin.' },
      }),
      defaultConverter: 'bytes',
      topics: options => [options.topic],
      plan: options => [options],
      open: () => Promise.reject(new Error('a declaration only')),
    }),
  ],
  sinks: [
    defineSink({
      kind: 'sink',
      name: 's3',
      aliases: ['io.confluent.connect.s3.S3SinkConnector'],
      version: '1',
      doc: 'Stores objects.',
      options: defineOptions({
        's3.bucket.name': { type: 'string', doc: 'Bucket.' },
        'store.url': { type: 'string', resolve: true, default: null, doc: 'Server or folder.' },
        's3.compression.type': {
          type: 'enum',
          values: ['none', 'gzip', 'zstd'],
          default: 'none',
          aliases: ['compression'],
          doc: 'Codec.',
        },
        'partitioner.class': { type: 'enum', values: ['default', 'hourly'], default: 'default', doc: 'Folders.' },
        'partitioner.max.open.files': { type: 'integer', default: 100, min: 1, doc: 'Open files.' },
        'rotate.interval.ms': { type: 'duration', default: -1, min: -1, unset: true, doc: 'Rotation.' },
        'flush.size': { type: 'integer', default: null, min: 1, doc: 'Records.' },
        'key.pattern': { type: 'string', literal: true, default: null, doc: 'A pattern of its own.' },
        'aws.secret.access.key': { type: 'secret', default: null, doc: 'Secret.' },
      }),
      open: () => Promise.reject(new Error('a declaration only')),
    }),
  ],
  transforms: [
    defineTransform({
      kind: 'transform',
      name: 'Parse',
      aliases: ['org.example.Parse$Value'],
      doc: 'Parses.',
      options: defineOptions({ format: { type: 'string', doc: 'Format.' } }),
      structured: true,
      open: () => record => record,
    }),
  ],
}

/** A disk in memory that holds these files, by absolute path. */
export async function filesOf(contents: Readonly<Record<string, string | Uint8Array>>): Promise<Files> {
  const files = new MemoryFiles(new SeededRandom(1))
  for (const [path, content] of Object.entries(contents)) {
    await files.mkdir(path.slice(0, path.lastIndexOf('/')))
    await writeWhole(files, path, typeof content === 'string' ? Buffer.from(content) : content)
  }
  return files
}

/** Loads files from memory; without `inputs`, all of them in order. */
export async function loadTexts(
  contents: Readonly<Record<string, string | Uint8Array>>,
  options: Partial<LoadOptions> & { readonly inputs?: readonly string[] } = {},
): Promise<LoadedConfig> {
  const files = options.files ?? (await filesOf(contents))
  const inputs = options.inputs ?? Object.keys(contents).filter(path => !path.endsWith('.properties'))
  return loadConfig(inputs, { catalogue: TEST_CATALOGUE, env: {}, ...options, files })
}

/** One file, `/p/a.yaml`. */
export function loadText(text: string, options: Partial<LoadOptions> = {}): Promise<LoadedConfig> {
  return loadTexts({ '/p/a.yaml': text }, options)
}

/** Lines of the error that the text causes. */
export async function problemsOf(
  contents: string | Readonly<Record<string, string | Uint8Array>>,
  options: Partial<LoadOptions> & { readonly inputs?: readonly string[] } = {},
): Promise<readonly string[]> {
  const texts = typeof contents === 'string' ? { '/p/a.yaml': contents } : contents
  try {
    await loadTexts(texts, options)
  } catch (error) {
    if (error instanceof Error) return error.message.split('\n')
  }
  return []
}
