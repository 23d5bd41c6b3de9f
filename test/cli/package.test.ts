import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-package-'))
  // Without its scripts: dist is built already, and other tests are using it.
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT })
  const [tarball] = await readdir(folder)
  await writeFile(join(folder, 'package.json'), '{"private":true,"type":"module"}')
  await run('npm', ['install', `./${tarball}`, '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], {
    cwd: folder,
  })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('the tarball runs by npx in an empty folder', async () => {
  const { stdout } = await run('npx', ['--no-install', 'kts-connect', '--help'], { cwd: folder })
  expect(stdout).toContain('A short tour')
})

it('and takes a line from file to file there', async () => {
  await writeFile(join(folder, 'in.txt'), 'a line\n')
  await writeFile(
    join(folder, 'p.yaml'),
    'name: p\nsources: { in: { type: file, paths: [in.txt], topic: t, at.end: stop } }\n' +
      'sinks: { out: { type: file, topics: [t], file: ./out.txt } }\n',
  )
  await run('npx', ['--no-install', 'kts-connect', 'start', 'p.yaml'], { cwd: folder })
  expect(await readFile(join(folder, 'out.txt'), 'utf8')).toBe('a line\n')
})

it('its two doors open, and nothing behind them', async () => {
  const script = `
    const { startPipeline } = await import('kts-connect')
    const { defineSource } = await import('kts-connect/api')
    const hidden = await import('kts-connect/dist/broker/index.js').catch(error => error.code)
    console.log(typeof startPipeline, typeof defineSource, hidden)`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: folder })
  expect(stdout).toBe('function function ERR_PACKAGE_PATH_NOT_EXPORTED\n')
})

it('holds no tests, no sources and no exports of a quickstart run here', async () => {
  const names = await readdir(join(folder, 'node_modules/kts-connect'), { recursive: true })
  const unwanted = names.filter(
    name =>
      /^(test|bench|node_modules)\b|\.kts-connect|growing\.log|exports/.test(name) ||
      (/\.ts$/.test(name) && !/\.d\.ts$/.test(name)),
  )
  expect(unwanted).toEqual([])
  expect(names).toContain('configs/quickstart/access.log')
})
