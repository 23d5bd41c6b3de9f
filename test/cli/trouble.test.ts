import { chmod, chown, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunningCli, runCli } from '../support/cli.ts'
import { skipLoudly, startS3Server } from '../support/s3-server.ts'

/** `nobody` on Linux. */
const NOBODY = 65_534

let folder: string
let worker: RunningCli | undefined
let server: Server | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-trouble-'))
})
afterEach(async () => {
  await worker?.kill()
  worker = undefined
  server?.closeAllConnections()
  server?.close()
  server = undefined
  await rm(folder, { recursive: true, force: true })
})

/** lines of in.txt into a bucket of a server that does as `listener` says. */
async function intoBucket(listener: RequestListener, atEnd: 'stop' | 'follow'): Promise<void> {
  server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise(resolve => server?.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await writePipeline(`http://127.0.0.1:${port}`, 'i', atEnd)
}

async function writePipeline(endpoint: string, keyId: string, atEnd: 'stop' | 'follow'): Promise<void> {
  await writeFile(join(folder, 'in.txt'), 'a\nb\n')
  await writeFile(
    join(folder, 'p.yaml'),
    `name: p
worker: { rest.port: 0, task.restart.backoff.ms: 20ms }
sources:
  lines: { type: file, paths: [in.txt], topic: lines, at.end: ${atEnd} }
sinks:
  bucket: { type: s3, topics: [lines], s3.bucket.name: logs, store.url: "${endpoint}", rotate.idle.ms: 50ms, aws.access.key.id: "${keyId}", aws.secret.access.key: s }
`,
  )
}

const refuse = (status: number, code: string): RequestListener => {
  return (_request, answer) => {
    answer.writeHead(status, { 'content-type': 'application/xml' })
    answer.end(`<Error><Code>${code}</Code><Message>no</Message></Error>`)
  }
}

describe('a sink that cannot run', () => {
  it('no such bucket: start ends with 1 and says why; what was read is in the log', async () => {
    await intoBucket(refuse(404, 'NoSuchBucket'), 'stop')
    const ended = await runCli(['start', 'p.yaml'], { cwd: folder })
    expect(ended.code).toBe(1)
    expect(ended.stdout).toMatch(/"connector":"bucket".*NoSuchBucket.*failed for good/)
    expect(ended.stdout).not.toContain('everything was read and delivered')
    expect((await runCli(['consume', 'lines', '--from-beginning'], { cwd: folder })).stdout).toBe('a\nb\n')
  })

  it('wrong credentials: start ends with 1 and says which options to check; nothing goes on for ever', async run => {
    const s3 = await startS3Server()
    if (skipLoudly(s3)) return run.skip()
    try {
      await writePipeline(s3.endpoint, s3.accessKeyId, 'stop')
      const { code, stdout } = await runCli(['start', 'p.yaml'], { cwd: folder })
      expect(code).toBe(1)
      expect(stdout).toMatch(/"connector":"bucket".*stays FAILED, since it failed 4 times after all sources had ended/)
      expect(stdout).toMatch(/"connector":"bucket".*SignatureDoesNotMatch.*check aws\.access\.key\.id.*failed for good/)
      expect(stdout).not.toContain(s3.secretAccessKey)
      expect((await runCli(['consume', 'lines', '--from-beginning'], { cwd: folder })).stdout).toBe('a\nb\n')
    } finally {
      await s3.stop()
    }
  })

  it('status shows the cause and ends with 1 while the rest goes on', async () => {
    await intoBucket(refuse(301, 'PermanentRedirect'), 'follow')
    worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
    await worker.said(/"connector":"bucket".*stays FAILED/)
    const { code, stdout } = await runCli(['status'], { cwd: folder })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^lines +file source +RUNNING/m)
    expect(stdout).toMatch(/^bucket +s3 sink +FAILED/m)
    expect(stdout).toMatch(/^bucket task 0 FAILED: .*PermanentRedirect/m)
  })
})

it('a second signal ends a stop that hangs, with the code of the signal', async () => {
  // Takes every request and never answers, so that the drain cannot end.
  let asked = 0
  await intoBucket(() => void asked++, 'follow')
  worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
  await worker.said(/"message":"started"/)
  while (asked === 0) await new Promise(resolve => setTimeout(resolve, 10))
  worker.signal('SIGTERM')
  await worker.said(/a second signal stops at once/)
  worker.signal('SIGTERM')
  expect((await worker.ended).code).toBe(143)
})

it('a signal while the log is being opened is a graceful stop, too', async () => {
  await writeFile(join(folder, 'in.txt'), 'a\n')
  await writeFile(
    join(folder, 'p.yaml'),
    'name: p\nworker: { rest.port: 0 }\ntopics: { t: { flush.ms: 1 } }\n' +
      'sources:\n  lines: { type: file, paths: [in.txt], topic: t }\n',
  )
  worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
  // A warning about the configuration comes before anything is opened.
  await worker.said(/flush\.ms/)
  worker.signal('SIGTERM')
  const { code, stdout } = await worker.ended
  expect(stdout).toMatch(/"message":"stopped"/)
  expect(code).toBe(0)
})

it('a signal before anything is loaded is a graceful stop, too: the first that the process can take', async () => {
  await writeFile(join(folder, 'in.txt'), 'a\n')
  await writeFile(
    join(folder, 'p.yaml'),
    'worker: { rest.port: 0 }\nsources:\n  lines: { type: file, paths: [in.txt], topic: t }\n',
  )
  worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
  while (!(await takesSighup(worker.pid))) await new Promise(resolve => setTimeout(resolve, 1))
  worker.signal('SIGTERM')
  const { code, stdout } = await worker.ended
  expect(stdout).toMatch(/"message":"stopped"/)
  expect(stdout).not.toMatch(/"message":"started"/)
  expect(code).toBe(0)
})

it('a process that was killed while it took the data directory is in nobody’s way', async () => {
  await writeFile(join(folder, 'in.txt'), 'a\n')
  await writeFile(
    join(folder, 'p.yaml'),
    'worker: { rest.port: 0 }\nsources:\n  lines: { type: file, paths: [in.txt], topic: t, at.end: stop }\n',
  )
  const owner = join(folder, '.kts-connect/meta/owner-7.json')
  await mkdir(dirname(owner), { recursive: true })
  await writeFile(owner, '')
  const aWhileAgo = Date.now() / 1000 - 3
  await utimes(owner, aWhileAgo, aWhileAgo)
  expect((await runCli(['start', 'p.yaml'], { cwd: folder })).code).toBe(0)
})

/** Whether the process has a handler for it, as Linux tells. Node itself has one for SIGTERM from the beginning; ours are all set at once. */
async function takesSighup(pid: number): Promise<boolean> {
  const caught = /^SigCgt:\s+([0-9a-f]+)$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
  return (BigInt(`0x${caught}`) & 1n) !== 0n
}

describe.skipIf(process.getuid?.() !== 0)('as a user without rights', () => {
  beforeEach(async () => {
    await writeFile(
      join(folder, 'p.yaml'),
      'name: p\nworker: { rest.port: 0 }\nsources:\n  lines: { type: file, paths: [in.txt], topic: lines }\n' +
        'sinks:\n  copy: { type: file, topics: [lines], file: ./out.txt }\n',
    )
    await writeFile(join(folder, 'in.txt'), 'secret\n')
    await chmod(join(folder, 'in.txt'), 0o000)
    await chmod(join(folder, 'p.yaml'), 0o644)
    await chown(folder, NOBODY, NOBODY)
  })

  it('validate --connect names the file that cannot be read, and the mend', async () => {
    const { code, stdout } = await runCli(['validate', 'p.yaml', '--connect'], { cwd: folder, uid: NOBODY })
    expect(stdout).toMatch(/^failed +source lines: .*in\.txt/m)
    expect(stdout).toMatch(/chmod|setfacl|permission/)
    expect(code).toBe(1)
  })

  it('a folder that cannot be written is named with a remedy, and nothing is started', async () => {
    await chown(folder, 0, 0)
    await chmod(folder, 0o755)
    const { code, stderr } = await runCli(['start', 'p.yaml'], { cwd: folder, uid: NOBODY })
    expect(code).toBe(1)
    expect(stderr).toMatch(/EACCES.*\.kts-connect.*permissions/)
    expect(await readFile(join(folder, 'p.yaml'), 'utf8')).toContain('name: p')
  })
})
