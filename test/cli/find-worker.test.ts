import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { nodeFiles, type ProcessIdentity, silentLogger, systemClock, systemProcesses } from '../../base/index.ts'
import { Owner } from '../../broker/owner.ts'
import { findWorker } from '../../cli/find-worker.ts'

const URL_OF_WORKER = 'http://127.0.0.1:8083'

let folder: string
let dataDir: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-find-'))
  dataDir = join(folder, '.kts-connect')
  await mkdir(join(dataDir, 'meta'), { recursive: true })
  await writeFile(join(folder, 'p.yaml'), '')
})
afterEach(() => rm(folder, { recursive: true }))

function take(processes = systemProcesses): Promise<Owner> {
  const directory = join(dataDir, 'meta')
  return Owner.take({ files: nodeFiles, directory, clock: systemClock, processes, logger: silentLogger })
}

const around = (env: Record<string, string> = {}) => ({ files: nodeFiles, processes: systemProcesses, env })

it('through the owner file beside the pipeline file, in the folder, or in KTS_DATA_DIR', async () => {
  await (await take()).setAddress(URL_OF_WORKER)
  const found = { kind: 'running', url: URL_OF_WORKER, pid: process.pid }
  expect(await findWorker({ file: join(folder, 'p.yaml') }, around())).toEqual(found)
  expect(await findWorker({ file: folder }, around())).toEqual(found)
  expect(await findWorker({ dataDir }, around())).toEqual(found)
  expect(await findWorker({}, around({ KTS_DATA_DIR: dataDir }))).toEqual(found)
})

it('an address needs no data directory', async () => {
  expect(await findWorker({ url: URL_OF_WORKER, dataDir: '/nowhere' }, around())).toMatchObject({ url: URL_OF_WORKER })
})

it('a log that nobody owns is stopped', async () => {
  const owner = await take()
  await owner.release()
  expect(await findWorker({ dataDir }, around())).toEqual({ kind: 'stopped', dataDir })
})

it('so is one whose owner died without a word', async () => {
  // The same pid, but a process that started at another time.
  const dead: ProcessIdentity = { ...systemProcesses.self, startTime: '1' }
  await (await take({ ...systemProcesses, self: dead })).setAddress(URL_OF_WORKER)
  expect(await findWorker({ dataDir }, around())).toEqual({ kind: 'stopped', dataDir })
})

it('a worker that is just starting is told so, with its pid', async () => {
  await take()
  await expect(findWorker({ dataDir }, around())).rejects.toThrow(new RegExp(`process ${process.pid}.*try again`))
})

it('a worker on another host is not reachable from here', async () => {
  const other: ProcessIdentity = { ...systemProcesses.self, host: 'elsewhere' }
  await (await take({ ...systemProcesses, self: other })).setAddress(URL_OF_WORKER)
  await expect(findWorker({ dataDir }, around())).rejects.toThrow('on host elsewhere')
})

it('nothing there says how to name it', async () => {
  await expect(findWorker({ dataDir: join(folder, 'none') }, around())).rejects.toThrow(
    /no log at .*none.*-f pipeline.yaml/,
  )
  await expect(findWorker({ dataDir: join(folder, 'p.yaml') }, around())).rejects.toThrow('no log at')
})
