import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { codeOnly } from './support/code-text.ts'
import { arrows, roomOf, sizes, strangers, words, worldCalls, worldModules } from './support/room-rules.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Every file of the repository as it stands, committed or about to be. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  .toString()
  .split('\n')
  .filter(path => path !== '' && existsSync(`${root}/${path}`))
const texts = new Map(files.map(path => [path, readFileSync(`${root}/${path}`, 'utf8')]))
const sources = files.filter(path => path.endsWith('.ts'))

/** The registry host that npm is set to here, unless it is the public one, which has a rule of its own. */
const hosts = [execFileSync('npm', ['config', 'get', 'registry'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })]
  .map(answer => new URL(answer.toString().trim()).hostname)
  .filter(host => host.includes('.') && !/^\d+(\.\d+){3}$/.test(host))

const violations = (rule: (path: string, text: string) => string[]) =>
  sources.flatMap(path => rule(path, texts.get(path)!))

describe('the repository', () => {
  it('has its rooms', () => {
    const rooms = new Set(sources.map(roomOf))
    for (const room of ['base', 'broker', 'runtime/api', 'runtime']) expect(rooms).toContain(room)
  })

  it('imports along the arrows, and through doors', () => expect(violations(arrows)).toEqual([]))

  it('reads files, clocks and dice in base and cli only', () =>
    expect([...violations(worldModules), ...violations(worldCalls)]).toEqual([]))

  it('keeps files and functions short', () => expect(violations(sizes)).toEqual([]))

  it('holds nothing unfinished, untyped, exclusive or printed', () => expect(violations(words)).toEqual([]))

  it('names no registry and no path of one machine', () =>
    expect(files.flatMap(path => strangers(path, texts.get(path)!, hosts))).toEqual([]))
})

describe('each rule bites', () => {
  it.each([
    ['base/a.ts', "import { x } from '../broker/index.ts'"],
    ['broker/a.ts', "export * from '../runtime/index.ts'"],
    ['runtime/api/a.ts', "import type { Broker } from '../../broker/index.ts'"],
    ['runtime/a.ts', "const s = await import('../connectors/index.ts')"],
    ['runtime/a.ts', "import '../web/index.ts'"],
    ['connectors/file/a.ts', "import {\n  x,\n} from '../../runtime/index.ts'"],
    ['connectors/file/a.ts', "import { x } from '../../broker/index.ts'"],
    ['web/a.ts', "import { x } from '../cli/main.ts'"],
    ['broker/a.ts', "import { x } from '../base/clock.ts'"],
    ['runtime/a.ts', "import { x } from './api/schema.ts'"],
    ['cli/a.ts', "import { x } from '../connectors/file/source.ts'"],
    ['connectors/a.ts', "import { x } from '../test/support/x.ts'"],
  ])('arrows: %s', (path, text) => expect(arrows(path, text)).toHaveLength(1))

  it.each([
    ['broker/a.ts', "import { x } from './b.ts'\nimport { y } from '../base/index.ts'\nimport z from 'yaml'"],
    ['runtime/config/a.ts', "import { x } from '../../broker/index.ts'\nimport { y } from '../api/index.ts'"],
    ['cli/main.ts', "import { x } from '../connectors/index.ts'\nimport p from '../package.json'"],
    ['test/a.test.ts', "import { x } from '../broker/segment.ts'"],
    ['base/a.ts', "// import { x } from '../broker/index.ts'\nconst text = `from '../broker/index.ts'`"],
  ])('arrows let pass: %s', (path, text) => expect(arrows(path, text)).toEqual([]))

  it.each([
    "import fs from 'node:fs'",
    "import { open } from 'node:fs/promises'",
    "export * from 'fs'",
    "const fs = require('fs')",
    "import { setTimeout } from 'node:timers/promises'",
  ])('world modules: %s', text => {
    for (const room of ['broker', 'runtime', 'runtime/api', 'connectors/s3', 'web']) {
      expect(worldModules(`${room}/a.ts`, text)).toHaveLength(1)
    }
    for (const place of ['base', 'cli', 'test', 'bench']) expect(worldModules(`${place}/a.ts`, text)).toEqual([])
  })

  it.each([
    'const t = Date.now()',
    'const t = new Date()',
    'const t = new Date',
    'const r = Math.random()',
    'performance.now()',
    'setTimeout(() => {}, 1)',
    'globalThis.setInterval',
    'crypto.randomUUID()',
    'AbortSignal.timeout(5)',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code for the rule to read
    'const s = `at ${Date.now()}`',
  ])('world calls: %s', text => {
    expect(worldCalls('runtime/a.ts', text)).toHaveLength(1)
    expect(worldCalls('base/a.ts', text)).toEqual([])
  })

  it('world calls let pass what only names them, and dates that are given', () => {
    const text =
      "// Date.now()\nconst a = 'setTimeout'\nconst b = new Date(ms)\nconst c = /Math.random/\nconst d = new DateRange"
    expect(worldCalls('runtime/a.ts', text)).toEqual([])
  })

  it('sizes: files and functions', () => {
    const lines = (count: number) => 'x()\n'.repeat(count)
    expect(sizes('web/a.ts', lines(400))).toEqual([])
    expect(sizes('web/a.ts', lines(401))).toHaveLength(1)
    expect(sizes('test/a.test.ts', lines(401))).toHaveLength(1)
    for (const head of ['function f() {', 'const f = () => {', 'f(a: { b: string }): Promise<void> {', 'if (a) {']) {
      expect(sizes('web/a.ts', `${head}\n${lines(68)}}\n`)).toEqual([])
      expect(sizes('web/a.ts', `${head}\n${lines(69)}}\n`)).toHaveLength(1)
    }
    for (const head of ['class A<T> extends B {', 'export interface A {', 'const a = {', 'f({', 'type A = {']) {
      expect(sizes('web/a.ts', `${head}\n${lines(100)}}\n`)).toEqual([])
    }
    expect(sizes('web/a.ts', `class A {\n${lines(50)}f() {\n${lines(80)}}\n}\n`)).toHaveLength(1)
  })

  it.each([
    `// ${'TO'}${'DO'} later`,
    `// @ts-${'ig'}${'nore'}`,
    'const a = b as any',
    'function f(a: any) {}',
    'const a: Array<any> = []',
    'describe.only("x", f)',
    'it.only("x", f)',
    'console.log(1)',
  ])('words: %s', text => {
    expect(words('runtime/a.ts', text)).toHaveLength(1)
    expect(words('cli/a.ts', text)).toHaveLength(text.startsWith('console') ? 0 : 1)
  })

  it.each([
    ['package-lock.json', `"resolved": "${'ht'}tps://example.test/a.tgz"`],
    ['README.md', `from ${'registry'}.${'npmjs'}.org`],
    ['README.md', `see ${'/wo'}rk/shared/data`],
    ['docs/a.md', `cp ${'/tmp'}/setup/x .`],
    ['.npmrc', 'registry=https://npm.corp.example/'],
  ])('strangers: %s %s', (path, text) => expect(strangers(path, text, ['npm.corp.example'])).toHaveLength(1))

  it('code is told from text', () => {
    const backquote = '`'
    const source = `a('{', "\\"}", /[/{]'/, b / c / d, ${backquote}x{ \${y({ z: '}' })} w}${backquote}) // {\n/* { */ e`
    expect(codeOnly(source)).toBe(
      `a(' ', "   ", /     /, b / c / d, ${backquote}     y({ z: ' ' })    ${backquote})     \n        e`,
    )
  })
})
