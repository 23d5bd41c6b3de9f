import { posix } from 'node:path'
import { codeOnly, importsOf, lineAt, longBlocks } from './code-text.ts'

/**
 * The rules of the architecture that a machine can check. Each takes a path inside the repository and the file's text,
 * and answers what is wrong, with a remedy.
 */
type Rule = (path: string, text: string) => string[]

/** What each room may import of ours. `cli` composes, so it may import all. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  broker: ['base'],
  'runtime/api': ['base'],
  runtime: ['runtime/api', 'base', 'broker'],
  connectors: ['runtime/api', 'base'],
  web: ['runtime', 'runtime/api', 'base'],
  cli: ['base', 'broker', 'runtime/api', 'runtime', 'connectors', 'web'],
}

const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 70

/** Undefined for what is in no room: tests, benchmarks, configuration of tools. */
export function roomOf(path: string): string | undefined {
  return ['runtime/api', ...Object.keys(ARROWS)].find(room => path.startsWith(`${room}/`))
}

const touchesWorld = (room: string | undefined) => room === undefined || room === 'base' || room === 'cli'

export const arrows: Rule = (path, text) => {
  const room = roomOf(path)
  if (room === undefined) return []
  return importsOf(text).flatMap(({ specifier, line }) => {
    if (!specifier.startsWith('.')) return []
    const target = posix.join(posix.dirname(path), specifier)
    const other = roomOf(target)
    if (other === room) return []
    const where = `${path}:${line}`
    if (other === undefined) return room === 'cli' ? [] : [`${where} imports ${target}, which is in no room`]
    if (!ARROWS[room]!.includes(other)) return [`${where} imports ${other}, which ${room} must not know`]
    return target === `${other}/index.ts` ? [] : [`${where} reaches past the door: import ${other}/index.ts`]
  })
}

const WORLD_MODULES = /^(node:)?(fs|fs\/promises|timers|timers\/promises|perf_hooks)$/

export const worldModules: Rule = (path, text) => {
  if (touchesWorld(roomOf(path))) return []
  return importsOf(text)
    .filter(({ specifier }) => WORLD_MODULES.test(specifier))
    .map(({ specifier, line }) => `${path}:${line} imports ${specifier}: take Files or Clock as an argument`)
}

const WORLD_CALLS: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b|\bnew Date(\(\s*\)|(?!\w|\())|\bperformance\.now\b|\bhrtime\b/g, 'take a Clock'],
  [/\b(setTimeout|setInterval)\b|\bAbortSignal\.timeout\b/g, "use the Clock's timer"],
  [/\bMath\.random\b|\brandomUUID\b|\brandomBytes\b|\bgetRandomValues\b/g, 'take a Random'],
]

export const worldCalls: Rule = (path, text) => {
  if (touchesWorld(roomOf(path))) return []
  const code = codeOnly(text)
  return WORLD_CALLS.flatMap(([pattern, advice]) => found(path, code, pattern, advice))
}

export const sizes: Rule = (path, text) => {
  if (!path.endsWith('.ts')) return []
  const lines = text.split('\n').length - 1
  const tooLong = lines > FILE_LINES_MAX ? [`${path}: ${lines} lines, more than ${FILE_LINES_MAX}`] : []
  // A suite of tests is one long callback.
  if (roomOf(path) === undefined) return tooLong
  const functions = longBlocks(text, FUNCTION_LINES_MAX).map(
    block => `${path}:${block.line} a function of ${block.lines} lines, more than ${FUNCTION_LINES_MAX}`,
  )
  return [...tooLong, ...functions]
}

/** Written in two halves, so that this file keeps its own rules. */
const word = (...halves: string[]) => halves.join('')

const UNFINISHED = new RegExp(`\\b(${word('TO', 'DO')}|${word('FIX', 'ME')})\\b|@ts-${word('ig', 'nore')}`, 'g')
const UNTYPED = /\bas any\b|[:<]\s*any\b/g
const EXCLUSIVE = /\.only\s*\(/g
const PRINTING = /\bconsole\.\w+/g

export const words: Rule = (path, text) => {
  if (!path.endsWith('.ts')) return []
  const code = codeOnly(text)
  const room = roomOf(path)
  return [
    ...found(path, text, UNFINISHED, 'finish it, or write an issue'),
    ...found(path, code, UNTYPED, 'give it a type, or unknown'),
    ...found(path, code, EXCLUSIVE, 'it would leave out every other test'),
    ...(room === undefined || room === 'cli' ? [] : found(path, code, PRINTING, 'take a Logger')),
  ]
}

const REGISTRIES = new RegExp(
  [
    word('registry', '\\.npm'),
    word('registry', '\\.yarn'),
    word('npm\\.', 'pkg'),
    word('proxy\\.', 'golang'),
    `"resolved":\\s*"${word('ht', 'tp')}`,
  ].join('|'),
  'g',
)
const MACHINE_PATHS = new RegExp(
  `${word('/wo', 'rk/')}(main|shared)|${word('/tmp/', 'setup')}|${word('/ro', 'ot/')}(\\.|go\\b)`,
  'g',
)

/** For every tracked file, not only code. `hosts`: the registries that this machine is set up to use. */
export function strangers(path: string, text: string, hosts: readonly string[]): string[] {
  return [
    ...found(path, text, REGISTRIES, 'a registry is for the user to choose'),
    ...found(path, text, MACHINE_PATHS, 'this path exists on one machine only'),
    ...hosts.filter(host => text.includes(host)).map(() => `${path}: names the registry this machine uses`),
  ]
}

function found(path: string, text: string, pattern: RegExp, advice: string): string[] {
  return [...text.matchAll(pattern)].map(match => `${path}:${lineAt(text, match.index)} ${match[0].trim()}: ${advice}`)
}
