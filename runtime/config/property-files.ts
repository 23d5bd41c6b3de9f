import { dirname, resolve, sep } from 'node:path'
import { errorCode, type Files, readWhole } from '../../base/index.ts'
import { parseProperties } from './properties.ts'

const SIZE_MAX = 1 << 20

type Content = { readonly values: ReadonlyMap<string, string> } | { readonly problem: string }

/**
 * The files behind `${file:/path:key}` (Connect's FileConfigProvider), read before anything is resolved. Only what really
 * lies (symbolic links followed) in the YAML's own folder, or in a folder listed in
 * `config.providers.file.param.allowed.paths`, is read: a pipeline file cannot reach for the rest of the machine.
 */
export class PropertyFiles {
  readonly #contents = new Map<string, Content>()

  /** `path` may be relative to `folder`, where the YAML is. Never rejects: what failed is told by `lookUp`. */
  async read(files: Files, folder: string, path: string, allowed: readonly string[]): Promise<void> {
    const id = idOf(folder, path)
    if (!this.#contents.has(id)) this.#contents.set(id, await readContent(files, folder, path, allowed))
  }

  lookUp(folder: string, path: string, key: string): { readonly text: string } | { readonly problem: string } {
    const content = this.#contents.get(idOf(folder, path)) ?? { problem: `expected ${path} to be read first` }
    if ('problem' in content) return content
    const text = content.values.get(key)
    return text === undefined ? { problem: `expected ${key} in ${path}, got no such key` } : { text }
  }
}

function idOf(folder: string, path: string): string {
  return `${folder}\0${resolve(folder, path)}`
}

async function readContent(files: Files, folder: string, path: string, allowed: readonly string[]): Promise<Content> {
  const absolute = resolve(folder, path)
  try {
    const real = await files.realpath(absolute)
    if (!(await liesIn(files, real, [folder, ...allowed]))) {
      const remedy = `add ${dirname(absolute)} to worker.config.providers.file.param.allowed.paths`
      return { problem: `expected a file in the folder of the YAML, got ${absolute}; ${remedy}` }
    }
    const bytes = await readWhole(files, real, SIZE_MAX)
    if (bytes === undefined) return { problem: `expected a properties file, got nothing at ${absolute}` }
    return { values: parseProperties(bytes.toString()) }
  } catch (error) {
    return { problem: `expected a properties file that can be read, got ${errorCode(error)} at ${absolute}` }
  }
}

async function liesIn(files: Files, real: string, folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) {
    const root = await files.realpath(folder).catch(() => undefined)
    if (root !== undefined && real.startsWith(root.endsWith(sep) ? root : root + sep)) return true
  }
  return false
}
