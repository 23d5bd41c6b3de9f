import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Ended, RunningCli, runCli } from '../support/cli.ts'

let folder: string
const running: RunningCli[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-cli-'))
})
afterEach(async () => {
  await Promise.all(running.splice(0).map(worker => worker.kill()))
  await rm(folder, { recursive: true, force: true })
})

const cli = (...args: string[]) => runCli(args, { cwd: folder })

/** Follows in.txt into out.txt. */
const FOLLOW = `
name: follow
worker: { rest.port: 0 }
sources:
  lines: { type: file, paths: [in.txt], topic: lines }
sinks:
  copy: { type: file, topics: [lines], file: ./out.txt }
`

async function start(...args: string[]): Promise<{ worker: RunningCli; url: string }> {
  const worker = new RunningCli(['start', ...args], { cwd: folder })
  running.push(worker)
  const [, url] = await worker.said(/"url":"(http:[^"]+)"/)
  return { worker, url: url! }
}

async function following(text = 'a\nb\n') {
  await writeFile(join(folder, 'follow.yaml'), FOLLOW)
  await writeFile(join(folder, 'in.txt'), text)
  return start('follow.yaml')
}

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Resolves when the sink has committed `offset` of lines: behind the marker of the last transaction, once the source rests. */
function committed(url: string, offset: number): Promise<true> {
  return until(async () => {
    const { groups } = (await (await fetch(`${url}/kts/topics/lines`)).json()) as { groups: { offset: number }[] }
    return groups[0]?.offset === offset || undefined
  })
}

function delivered(text: string): Promise<string> {
  return until(async () => {
    const out = await readFile(join(folder, 'out.txt'), 'utf8').catch(() => '')
    return out === text ? out : undefined
  })
}

describe('arguments', () => {
  it('help names every command and a tour', async () => {
    const { code, stdout } = await cli('--help')
    expect(code).toBe(0)
    for (const command of ['init', 'start', 'validate', 'schema', 'status', 'topics', 'consume', 'produce']) {
      expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
    }
    expect(stdout).toContain('A short tour')
  })

  it.each(['init', 'start', 'validate', 'schema', 'status', 'topics list', 'topics describe', 'consume', 'produce'])(
    'help of %s has examples',
    async command => {
      const { code, stdout } = await cli(...command.split(' '), '--help')
      expect([code, stdout]).toEqual([0, expect.stringContaining('Examples:')])
    },
  )

  it.each([
    [['strat'], /unknown command 'strat'\n.*start/],
    [['start'], /missing required argument 'files'/],
    [['consume', 't', '--max-messages', 'x'], /whole number/],
    [['consume', 't', '--from-beginning', '--offset', '3'], /say two things/],
    [['init', 'nope'], /no example "nope"; there is: .*nginx-to-s3/],
    [['status'], /no log at .*-f pipeline.yaml/],
    [['start', 'missing.yaml'], /missing\.yaml/],
    [['start', 'missing.yaml', '--data-dir', ''], /--data-dir.* Expected a folder, got nothing/],
  ])('%j is answered with what to do, and 2', async (args, message) => {
    const { code, stdout, stderr } = await cli(...args)
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect([code, stdout]).toEqual([2, ''])
  })

  it('the version is the package’s', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await cli('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })
})

describe('before it runs', () => {
  it.each(['nginx-to-s3', 'file-to-file', 'quickstart', 's3', 'verifiable'])(
    'init %s writes what validate accepts',
    async name => {
      expect((await cli('init', name)).code).toBe(0)
      expect(await cli('validate', `${name}.yaml`)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^Valid: /),
      })
    },
  )

  it('init never overwrites', async () => {
    await writeFile(join(folder, 'mine.yaml'), 'mine')
    expect(await cli('init', 'file-to-file', '-o', 'mine.yaml')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('mine.yaml exists'),
    })
    expect(await readFile(join(folder, 'mine.yaml'), 'utf8')).toBe('mine')
  })

  it('validate reports every problem with its place, and touches nothing', async () => {
    await writeFile(
      join(folder, 'bad.yaml'),
      FOLLOW.replace('topic:', 'topik:').replace('rest.port: 0', 'rest.port: x'),
    )
    const { code, stderr } = await cli('validate', 'bad.yaml')
    expect(code).toBe(2)
    expect(stderr).toMatch(/bad\.yaml:3:\d+ .*rest\.port/)
    expect(stderr).toMatch(/bad\.yaml:5:\d+ .*topik.*did you mean topic/)
    expect((await cli('topics')).stderr).toContain('no log at')
  })

  it('validate --connect tells which system does not answer, and how to mend it', async () => {
    await mkdir(join(folder, 'blocked'))
    await writeFile(join(folder, 'blocked/exports'), 'a file where a folder is to be')
    const sink = 'bucket: { type: s3, topics: [lines], store.url: ./blocked/exports }'
    await writeFile(join(folder, 'p.yaml'), `${FOLLOW}  ${sink}\n`)
    await writeFile(join(folder, 'in.txt'), '')
    const { code, stdout } = await cli('validate', 'p.yaml', '--connect')
    expect(stdout).toMatch(/^ok +source lines$/m)
    expect(stdout).toMatch(/^failed +sink bucket: .*exports/m)
    expect(code).toBe(1)
  })

  it('validate --connect warns of paths where nothing is, and of a folder that is taken for a file', async () => {
    await writeFile(join(folder, 'p.yaml'), FOLLOW.replace('paths: [in.txt]', 'paths: [typo.txt, nested]'))
    await mkdir(join(folder, 'nested'))
    const { code, stdout } = await cli('validate', 'p.yaml', '--connect')
    expect(stdout).toMatch(/^warning source lines: .*nested: expected a file, found a directory/m)
    expect(stdout).toMatch(/^warning source lines: nothing to read yet at .*typo\.txt/m)
    expect(code).toBe(0)
  })

  it('the schema is JSON Schema and knows the connectors', async () => {
    const { code, stdout } = await cli('schema')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ $schema: expect.stringContaining('json-schema.org') })
    expect(stdout).toContain('s3.bucket.name')
  })
})

describe('a running worker', () => {
  it('delivers, is found by file, folder and address, and stops with 0 at SIGTERM', async () => {
    const { worker, url } = await following()
    await delivered('a\nb\n')
    for (const how of [['-f', 'follow.yaml'], ['--data-dir', '.kts-connect'], ['--url', url], []]) {
      const { code, stdout } = await cli('status', ...how)
      expect([code, stdout]).toEqual([0, expect.stringMatching(/^lines +file source +RUNNING +2 +2 /m)])
    }
    worker.signal('SIGTERM')
    expect((await worker.ended).code).toBe(0)
    expect((await cli('status')).stdout).toContain('Stopped')
  })

  it('answers the cluster id that lies in its data directory', async () => {
    const { url } = await following()
    const { kafka_cluster_id: id } = (await (await fetch(url)).json()) as { kafka_cluster_id: string }
    const meta = await readFile(join(folder, '.kts-connect/meta.properties'), 'utf8')
    expect(meta.split('\n')).toContain(`cluster.id=${id}`)
  })

  it('a second worker on its data directory is refused, with its pid', async () => {
    const { worker } = await following()
    const second: Ended = await cli('start', 'follow.yaml')
    expect(second.code).toBe(1)
    expect(second.stderr).toMatch(new RegExp(`\\b${worker.pid}\\b`))
    expect(second.stderr).not.toMatch(/^\s+at /m)
  })

  it('what is produced is delivered, and consumed by those who follow', async () => {
    await following()
    await delivered('a\nb\n')
    const consumer = new RunningCli(['consume', 'lines', '--from-beginning', '--max-messages', '4'], { cwd: folder })
    running.push(consumer)
    await consumer.said(/a\nb\n/)
    const produced = await runCli(['produce', 'lines'], { cwd: folder, input: 'c\nlast without newline' })
    expect(produced).toMatchObject({ code: 0, stderr: '2 records written to lines\n' })
    expect(await consumer.ended).toMatchObject({ code: 0, stdout: 'a\nb\nc\nlast without newline\n' })
    await delivered('a\nb\nc\nlast without newline\n')
  })

  it('Ctrl-C ends a consumer with 0', async () => {
    await following()
    const consumer = new RunningCli(['consume', 'lines', '--from-beginning'], { cwd: folder })
    running.push(consumer)
    await consumer.said(/b\n/)
    consumer.signal('SIGINT')
    expect(await consumer.ended).toMatchObject({ code: 0, stdout: 'a\nb\n' })
  })

  it('its files are its own user’s alone', async () => {
    const { worker } = await following()
    await delivered('a\nb\n')
    const { stat } = await import('node:fs/promises')
    expect((await stat(join(folder, '.kts-connect'))).mode & 0o077).toBe(0)
    expect((await stat(join(folder, 'out.txt'))).mode & 0o077).toBe(0)
    worker.signal('SIGINT')
    expect((await worker.ended).code).toBe(0)
  })
})

describe('a stopped log', () => {
  /** `wait`: until the sink has committed so far. */
  async function stopped(wait?: number): Promise<void> {
    const { worker, url } = await following('k1:grüße\nk2:\u001b[31mred\n')
    await delivered('k1:grüße\nk2:\u001b[31mred\n')
    if (wait !== undefined) await committed(url, wait)
    worker.signal('SIGTERM')
    await worker.ended
  }

  it('is read byte for byte, and as JSON', async () => {
    await stopped()
    expect((await cli('consume', 'lines', '--from-beginning')).stdout).toBe('k1:grüße\nk2:\u001b[31mred\n')
    const { stdout } = await cli('consume', 'lines', '--offset', '1', '--format', 'json')
    expect(JSON.parse(stdout)).toMatchObject({
      topic: 'lines',
      partition: 0,
      offset: 1,
      key: null,
      value: 'k2:\u001b[31mred',
    })
  })

  it('is listed and described, with what the sink has committed', async () => {
    // Two records and the marker of their transaction.
    await stopped(3)
    expect((await cli('topics')).stdout).toMatch(/^lines +1 +3 +\d/m)
    const { stdout } = await cli('topics', 'describe', 'lines', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ name: 'lines', groups: [{ group: 'connect-copy', offset: 3, lag: 0 }] })
    expect(await cli('topics', 'describe', 'nope')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is: lines'),
    })
  })

  it('takes records, keyed ones too, up to the line that is wrong', async () => {
    await stopped()
    const input = 'a=1\nb=x=y\nno separator\nc=3\n'
    const { code, stderr } = await runCli(['produce', 'lines', '--key-separator', '='], { cwd: folder, input })
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/2 records written to lines\n.*line 3: no key separator "="/s),
    ])
    const { stdout } = await cli('consume', 'lines', '--offset', '2', '--format', 'json')
    const records = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { key: string; value: string })
    expect(records.map(({ key, value }) => [key, value])).toEqual([
      ['a', '1'],
      ['b', 'x=y'],
    ])
  })
})

it('a bounded pipeline ends by itself with 0, and the second run delivers only what is new', async () => {
  await writeFile(join(folder, 'once.yaml'), FOLLOW.replace('topic: lines', 'topic: lines, at.end: stop'))
  await writeFile(join(folder, 'in.txt'), 'a\nb')
  expect((await cli('start', 'once.yaml')).code).toBe(0)
  expect(await readFile(join(folder, 'out.txt'), 'utf8')).toBe('a\nb\n')
  await appendFile(join(folder, 'in.txt'), 'c\nd\n')
  const again = await cli('start', 'once.yaml')
  expect(again.stdout).toContain('everything was read and delivered')
  expect((await readFile(join(folder, 'out.txt'), 'utf8')).endsWith('d\n')).toBe(true)
})

it('a port in use is passed over', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  await writeFile(join(folder, 'in.txt'), '')
  await writeFile(join(folder, 'p.yaml'), FOLLOW.replace('rest.port: 0', `rest.port: ${port}`))
  const { url } = await start('p.yaml')
  expect(Number(new URL(url).port)).toBeGreaterThan(port)
  taken.close()
})

it('an address that others reach is refused with 2, before the log is touched', async () => {
  await writeFile(join(folder, 'p.yaml'), FOLLOW.replace('rest.port: 0', 'rest.host.name: 0.0.0.0'))
  expect(await cli('start', 'p.yaml')).toMatchObject({ code: 2, stderr: expect.stringContaining('no authentication') })
  expect((await cli('topics')).stderr).toContain('no log at')
})
