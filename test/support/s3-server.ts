import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Pinned: the version the project's figures and oddities were found with. */
const VERSITYGW = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0'

export interface S3Server {
  readonly name: string
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Kills it and starts it again on the same port over the same data; undefined: it is not ours to kill. */
  readonly crash?: () => Promise<void>
  stop(): Promise<void>
}

interface Program {
  readonly path: string
  readonly name: 'versitygw' | 'minio'
}

/**
 * A real S3 server on a free loopback port: versitygw or minio from the PATH or Go's folders, else versitygw built by Go.
 * `KTS_TEST_S3_ENDPOINT` (with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) points at another. Answers why there is none.
 */
export async function startS3Server(): Promise<S3Server | { readonly missing: string }> {
  const endpoint = process.env.KTS_TEST_S3_ENDPOINT
  if (endpoint !== undefined && endpoint !== '') return givenServer(endpoint)
  const program = findProgram() ?? installVersitygw()
  if ('missing' in program) return program
  return await start(program)
}

/** What a suite does with a missing server: says so; in CI that is a failure. */
export function skipLoudly(server: S3Server | { readonly missing: string }): server is { readonly missing: string } {
  if (!('missing' in server)) return false
  const message = `no S3 server: ${server.missing}`
  if (process.env.CI !== undefined && process.env.CI !== '') throw new Error(message)
  console.warn(`SKIPPED: ${message}`)
  return true
}

function givenServer(endpoint: string): S3Server {
  return {
    name: 'KTS_TEST_S3_ENDPOINT',
    endpoint,
    region: process.env.AWS_REGION ?? 'us-east-1',
    accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? 'test',
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? 'testsecret',
    stop: async () => {},
  }
}

function findProgram(): Program | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...goFolders(), installFolder()]
  for (const name of ['versitygw', 'minio'] as const) {
    for (const folder of folders) if (isExecutable(join(folder, name))) return { name, path: join(folder, name) }
  }
  return undefined
}

function goFolders(): string[] {
  const folders = [process.env.GOBIN ?? '', join(homedir(), 'go', 'bin')]
  try {
    folders.push(join(execFileSync('go', ['env', 'GOPATH'], { encoding: 'utf8' }).trim(), 'bin'))
  } catch {
    // No Go: the other folders are looked at all the same.
  }
  return folders.filter(folder => folder !== '')
}

function installFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'kts-connect-test', 'bin')
}

function installVersitygw(): Program | { readonly missing: string } {
  const folder = installFolder()
  mkdirSync(folder, { recursive: true })
  try {
    console.warn(`building ${VERSITYGW}, once, about two minutes`)
    execFileSync('go', ['install', VERSITYGW], {
      env: { ...process.env, CGO_ENABLED: '0', GOBIN: folder },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    return { name: 'versitygw', path: join(folder, 'versitygw') }
  } catch (error) {
    return { missing: `neither versitygw nor minio in the PATH, and go install failed: ${String(error)}` }
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function start(program: Program): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'kts-s3-'))
  const port = await freePort()
  const accessKeyId = 'kts-test'
  const secretAccessKey = randomBytes(12).toString('hex')
  const endpoint = `http://127.0.0.1:${port}`
  const keys = {
    ROOT_ACCESS_KEY: accessKeyId,
    ROOT_SECRET_KEY: secretAccessKey,
    MINIO_ROOT_USER: accessKeyId,
    MINIO_ROOT_PASSWORD: secretAccessKey,
  }
  const run = async () => {
    const child = spawn(program.path, argumentsOf(program, folder, port), {
      stdio: 'ignore',
      env: { ...process.env, ...keys },
    })
    const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
    await answers(endpoint, () => child.exitCode !== null)
    return { child, exited }
  }
  let running = await run()
  const kill = () => running.child.kill('SIGKILL')
  process.once('exit', kill)
  return {
    name: program.name,
    endpoint,
    region: 'us-east-1',
    accessKeyId,
    secretAccessKey,
    async crash() {
      kill()
      await running.exited
      running = await run()
    },
    async stop() {
      process.off('exit', kill)
      running.child.kill('SIGTERM')
      await running.exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function argumentsOf({ name }: Program, folder: string, port: number): string[] {
  const address = `127.0.0.1:${port}`
  if (name === 'minio') return ['server', '--quiet', '--address', address, folder]
  mkdirSync(join(folder, 'store'), { recursive: true })
  return ['--port', address, '--region', 'us-east-1', '--quiet', 'posix', join(folder, 'store')]
}

async function answers(endpoint: string, dead: () => boolean): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (dead()) throw new Error(`the S3 server at ${endpoint} ended at once`)
    try {
      await fetch(endpoint)
      return
    } catch {
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
  throw new Error(`the S3 server at ${endpoint} did not answer within 15 s`)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}
