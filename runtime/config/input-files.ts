import { join } from 'node:path'
import { errorCode, type Files, readWhole } from '../../base/index.ts'
import { Problems } from './problems.ts'

const SIZE_MAX = 10_000_000
const IS_CONFIG = /^[^.].*\.(ya?ml|json)$/i

export interface InputFile {
  /** Absolute. */
  readonly path: string
  readonly text: string
}

/** Text of every input, a folder standing for its YAML and JSON files in order of name. */
export async function readInputs(inputs: readonly string[], files: Files, problems: Problems) {
  const paths = new Set<string>()
  for (const input of inputs) for (const path of await expand(input, files, problems)) paths.add(path)
  const texts: InputFile[] = []
  for (const path of paths) {
    const text = await readText(path, files, problems)
    if (text !== undefined) texts.push({ path, text })
  }
  return { paths: [...paths], texts }
}

/** All that lies under the inputs, as one text: another one as soon as a file changes, comes or goes. */
export async function inputState(inputs: readonly string[], files: Files): Promise<string> {
  const { paths, texts } = await readInputs(inputs, files, new Problems())
  return JSON.stringify([paths, texts])
}

async function expand(input: string, files: Files, problems: Problems): Promise<readonly string[]> {
  try {
    if ((await files.stat(input)).kind !== 'directory') return [input]
    const names = (await files.list(input)).filter(name => IS_CONFIG.test(name)).sort()
    if (names.length === 0)
      problems.add({ file: input, line: 1, column: 1 }, '', 'expected *.yaml, *.yml or *.json in this folder, got none')
    return names.map(name => join(input, name))
  } catch (error) {
    problems.add({ file: input, line: 1, column: 1 }, '', unreadable(error))
    return []
  }
}

async function readText(path: string, files: Files, problems: Problems): Promise<string | undefined> {
  const add = (message: string) => problems.add({ file: path, line: 1, column: 1 }, '', message)
  try {
    const bytes = await readWhole(files, path, SIZE_MAX)
    if (bytes === undefined) add('expected a file, got nothing; check the spelling')
    // Drops a byte order mark.
    else return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    add(unreadable(error))
  }
  return undefined
}

function unreadable(error: unknown): string {
  const code = errorCode(error)
  if (code === 'ENOENT') return 'expected a file or folder, got nothing; check the spelling'
  if (code === 'EACCES') return 'expected a file that can be read, got EACCES; give this user the right to read it'
  if (code === 'EFBIG') return `expected at most ${SIZE_MAX} bytes, got more`
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
    return 'expected UTF-8, got another encoding; save the file as UTF-8'
  return `expected a file that can be read, got ${code}`
}
