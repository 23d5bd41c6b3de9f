// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references in the configuration are written like this.

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nodeFiles } from '../../../base/index.ts'
import { parseProperties } from '../../../runtime/config/properties.ts'
import { loadText, loadTexts, problemsOf } from '../../support/config-fixture.ts'

const sink = (options: string) => `sinks:\n  b: { type: s3, topics: [t], s3.bucket.name: x, ${options} }\n`
const optionsOf = async (options: string, env: Record<string, string> = {}) =>
  (await loadText(sink(options), { env })).sinks[0]!

describe('references', () => {
  test('are put in after parsing: what comes in is text, whatever it looks like', async () => {
    const evil = 'a: {b}, [c] # "${env:OTHER}" *x'
    const { options } = await optionsOf("aws.secret.access.key: '${env:PW}', store.url: 'http://${env:HOST}:1'", {
      PW: evil,
      HOST: 'h',
    })
    expect(options['aws.secret.access.key']).toBe(evil)
    expect(options['store.url']).toBe('http://h:1')
  })

  test('are parsed by the type of the option', async () => {
    expect((await optionsOf("flush.size: '${env:N}'", { N: '010' })).options['flush.size']).toBe(10)
  })

  test('are escaped by $${, and left alone in options with patterns of their own', async () => {
    const { options } = await optionsOf("store.url: '$${env:A}', key.pattern: '${topic}/x'")
    expect(options).toMatchObject({ 'store.url': '${env:A}', 'key.pattern': '${topic}/x' })
  })

  test('read properties files beside the YAML', async () => {
    const yaml = sink("aws.secret.access.key: '${file:./s.properties:aws.key}'")
    const config = await loadTexts({ '/p/a.yaml': yaml, '/p/s.properties': '# c\naws.key = se\\\n  cret\n' })
    expect(config.sinks[0]?.options['aws.secret.access.key']).toBe('secret')
    expect(await problemsOf({ '/p/a.yaml': yaml, '/p/s.properties': 'other=1' })).toEqual([
      '/p/a.yaml:2:73 sinks.b.aws.secret.access.key: expected aws.key in ./s.properties, got no such key',
    ])
  })

  test('inside transforms read files too', async () => {
    const yaml =
      "sources: { a: { type: file, paths: [x], topic: t, transforms: [{ type: Parse, format: '${file:s.properties:f}' }] } }"
    const config = await loadTexts({ '/p/a.yaml': yaml, '/p/s.properties': 'f=nginx' })
    expect(config.sources[0]?.transforms[0]?.options.format).toBe('nginx')
  })

  test('cannot leave the folder of the YAML, by .. or by symbolic link, unless the worker allows it', async () => {
    const root = await mkdtemp(join(tmpdir(), 'kts-config-'))
    try {
      await mkdir(join(root, 'p'))
      await mkdir(join(root, 'secrets'))
      await writeFile(join(root, 'secrets', 's.properties'), 'k=v')
      await symlink(join(root, 'secrets', 's.properties'), join(root, 'p', 'link.properties'))
      const file = join(root, 'p', 'a.yaml')
      const load = async (path: string, more = '') => {
        await writeFile(file, sink(`aws.secret.access.key: '\${file:${path}:k}'`) + more)
        return { inputs: [file], files: nodeFiles }
      }
      for (const path of ['../secrets/s.properties', join(root, 'secrets', 's.properties'), 'link.properties']) {
        const [line, ...more] = await problemsOf({}, await load(path))
        expect(more).toEqual([])
        expect(line).toContain('expected a file in the folder of the YAML, got ')
        expect(line).toContain('config.providers.file.param.allowed.paths')
        const allowed = 'worker: { config.providers.file.param.allowed.paths: [../secrets] }\n'
        const config = await loadTexts({}, await load(path, allowed))
        expect(config.sinks[0]?.options['aws.secret.access.key']).toBe('v')
      }
    } finally {
      await rm(root, { recursive: true })
    }
  })
})

describe('a planted secret', () => {
  const CANARY = 'c4n4ry-7d1f'

  test('never comes out in what is shown', async () => {
    const { shown } = await optionsOf(
      `aws.secret.access.key: ${CANARY}, store.url: 'http://user:${CANARY}@host', flush.size: '\${env:N}'`,
      { N: '1' },
    )
    expect(JSON.stringify(shown)).not.toContain(CANARY)
    expect(shown).toMatchObject({
      name: 'b',
      type: 's3',
      'aws.secret.access.key': '[hidden]',
      'store.url': 'http://user:[hidden]@host',
      'flush.size': '${env:N}',
    })
    expect((await optionsOf("aws.secret.access.key: '${env:PW}'", { PW: CANARY })).shown).toMatchObject({
      'aws.secret.access.key': '${env:PW}',
    })
    const beside = await optionsOf(`aws.secret.access.key: '${CANARY}\${env:PW}'`, { PW: CANARY })
    expect(beside.shown['aws.secret.access.key']).toBe('[hidden]')
  })

  test.each([
    ['a list', `aws.secret.access.key: [${CANARY}]`],
    ['a map', `aws.secret.access.key: { ${CANARY}: ${CANARY} }`],
    ['a bad reference', `aws.secret.access.key: 'x\${${CANARY}}'`],
    ['an open reference', `aws.secret.access.key: '\${${CANARY}'`],
    ['another type', "flush.size: '${env:PW}'"],
    ['an enum', "compression: '${env:PW}'"],
    ['a converter', "value.converter: '${env:PW}'"],
    ['a duration', "rotate.interval.ms: '${env:PW}'"],
    ['a regular expression', "topics.regex: '${env:PW}('"],
    ['a topic', "errors.deadletterqueue.topic.name: '${env:PW}/'"],
  ])('never comes out in a problem: %s', async (_, options) => {
    const lines = await problemsOf(sink(options), { env: { PW: CANARY } })
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.join('\n')).not.toContain(CANARY)
  })

  test('never comes out of a line that is not YAML', async () => {
    for (const value of [`%${CANARY}`, `[${CANARY}]x`, `*${CANARY}`, `"a" ${CANARY}`, `a: ${CANARY}`, `@${CANARY}`]) {
      const lines = await problemsOf(`sinks:\n  b:\n    aws.secret.access.key: ${value}\n`)
      expect(lines.length).toBeGreaterThan(0)
      expect(lines.join('\n')).not.toContain(CANARY)
    }
  })
})

test("properties are read as Java's are", () => {
  const text = '\ufeff! note\r\n  a=1\rb : 2\nc 3\nd\\:e=x\\ty\\u0041\nlong=one,\\\n   two\nempty=\n=nokey\nx=a\\\\\n'
  expect([...parseProperties(text)]).toEqual([
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
    ['d:e', 'x\tyA'],
    ['long', 'one,two'],
    ['empty', ''],
    ['', 'nokey'],
    ['x', 'a\\'],
  ])
})
