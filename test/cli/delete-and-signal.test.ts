import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { signalData } from '../../cli/commands/signal.ts'
import { RunningCli, runCli } from '../support/cli.ts'

let folder: string
let worker: RunningCli | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-delete-'))
  await writeFile(join(folder, 'in.txt'), 'a\nb\n')
  await writeFile(join(folder, 'p.yaml'), yaml('stop'))
})
afterEach(async () => {
  await worker?.kill()
  worker = undefined
  await rm(folder, { recursive: true, force: true })
})

function yaml(atEnd: string, source = 'lines'): string {
  return (
    `name: p\nworker: { rest.port: 0 }\nsources:\n  ${source}: { type: file, paths: [in.txt], topic: t, at.end: ${atEnd} }\n` +
    'sinks:\n  copy: { type: file, topics: [t], file: out.txt }\n'
  )
}

const run = (...args: string[]) => runCli(args, { cwd: folder })
const output = async () => (await readFile(join(folder, 'out.txt'), 'utf8')).split('\n').filter(Boolean)

describe('delete', () => {
  it('forgets where a source was and says so: it begins anew; a second time nothing is left', async () => {
    expect((await run('start', 'p.yaml')).code).toBe(0)
    const { code, stdout } = await run('delete', 'lines', '-f', 'p.yaml', '--yes')
    expect([code, stdout]).toEqual([0, 'forgot 1 checkpoint\n'])
    expect((await run('delete', 'lines', '-f', 'p.yaml', '--yes')).stdout).toBe('nothing was kept of lines\n')
    expect((await run('start', 'p.yaml')).code).toBe(0)
    expect(await output()).toEqual(['a', 'b', 'a', 'b'])
  })

  it('forgets the group and the state of a sink', async () => {
    expect((await run('start', 'p.yaml')).code).toBe(0)
    const { code, stdout } = await run('delete', 'copy', '-f', 'p.yaml', '--yes')
    expect([code, stdout]).toEqual([0, 'forgot 1 position of group connect-copy\nforgot 1 checkpoint\n'])
    const topic = JSON.parse((await run('topics', 'describe', 't', '-f', 'p.yaml', '--json')).stdout) as object
    expect(JSON.stringify(topic)).not.toContain('connect-copy')
  })

  it('works on one that the file names no more, and knows none that nobody had', async () => {
    expect((await run('start', 'p.yaml')).code).toBe(0)
    await writeFile(join(folder, 'p.yaml'), yaml('stop', 'others'))
    const { stdout } = await run('delete', 'lines', '-f', 'p.yaml', '--yes')
    expect(stdout).toMatch(/^lines is in the file no more.*\nforgot 1 checkpoint\n$/)
    const { code, stderr } = await run('delete', 'line', '-f', 'p.yaml', '--yes')
    expect([code, stderr]).toEqual([2, expect.stringContaining('no connector "line" in the file (others, copy)')])
  })

  it('forgets a connector whose database is gone when it is told so, and says what would be left there', async () => {
    const nobody = 'database.hostname: 127.0.0.1, database.port: 1, database.user: u, database.dbname: d'
    const source = (type: string) =>
      yaml('stop').replace('{ type: file, paths: [in.txt], topic: t, at.end: stop }', type)
    expect((await run('start', 'p.yaml')).code).toBe(0)
    await writeFile(join(folder, 'p.yaml'), source(`{ type: postgres, ${nobody}, topic.prefix: p, slot.name: s }`))
    const online = await run('delete', 'lines', '-f', 'p.yaml', '--yes')
    expect(online.code).toBe(1)
    expect(online.stderr).toMatch(/ECONNREFUSED.*nothing of lines was forgotten; .* --offline/)
    const { code, stdout } = await run('delete', 'lines', '-f', 'p.yaml', '--offline', '--yes')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^slot s: PostgreSQL at 127\.0\.0\.1:1\/d was not asked.*pg_drop_replication_slot\('s'\);\npublication dbz_publication: .*\nforgot 1 checkpoint\n$/,
    )
  })

  it('wants to be told yes, and a worker that has stopped', async () => {
    expect((await run('delete', 'lines', '-f', 'p.yaml')).stderr).toContain('--yes')
    await writeFile(join(folder, 'p.yaml'), yaml('follow'))
    worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
    await worker.said(/"message":"started"/)
    const { code, stderr } = await run('delete', 'lines', '-f', 'p.yaml', '--yes')
    expect([code, stderr]).toEqual([2, expect.stringMatching(/a worker runs at .*: stop it first/)])
  })
})

describe('signal', () => {
  it('reaches the worker that runs, and tells what the connector says', async () => {
    await writeFile(join(folder, 'p.yaml'), yaml('follow'))
    const stopped = await run('signal', 'lines', 'log', '-f', 'p.yaml', '--data-dir', folder)
    expect([stopped.code, stopped.stderr]).toEqual([2, expect.stringContaining('no worker runs on')])
    worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
    await worker.said(/"message":"started"/)
    await expect
      .poll(async () => (await run('signal', 'lines', 'log', '-f', 'p.yaml')).stderr, { timeout: 20_000 })
      .toContain('this connector takes no signals')
    expect((await run('signal', 'other', 'log', '-f', 'p.yaml')).stderr).toContain('Connector other not found')
  })

  it('says tables, conditions and other data as Debezium does', () => {
    const data = signalData({
      tables: ['public.a', 'public.b'],
      filter: { 'public.a': 'id > 1' },
      data: '{"type":"blocking"}',
    })
    expect(data).toEqual({
      type: 'blocking',
      'data-collections': ['public.a', 'public.b'],
      'additional-conditions': [{ 'data-collection': 'public.a', filter: 'id > 1' }],
    })
    expect(signalData({})).toEqual({})
    for (const wrong of ['[]', 'null', '{', '1']) expect(() => signalData({ data: wrong })).toThrow('a JSON object')
  })
})

it('SIGHUP has the files read again, and the worker goes on', async () => {
  await writeFile(join(folder, 'p.yaml'), yaml('follow'))
  worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
  await worker.said(/"message":"started"/)
  worker.signal('SIGHUP')
  await worker.said(/"message":"the files were read again"/)
  worker.signal('SIGTERM')
  expect((await worker.ended).code).toBe(0)
})
