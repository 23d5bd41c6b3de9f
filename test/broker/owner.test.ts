import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type Clock, ManualClock, nodeFiles, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { type Processes, type ProcessIdentity, systemProcesses } from '../../base/process-info.ts'
import { Owner, readOwner } from '../../broker/owner.ts'
import { rejection } from '../support/broker-drivers.ts'

const DIR = '/data'
const META = `${DIR}/meta`
const ME: ProcessIdentity = { host: 'here', pid: 10, bootId: 'boot-1', startTime: '100' }

/** Processes of which only the listed ones run. */
function processes(self: ProcessIdentity, ...running: ProcessIdentity[]): Processes {
  return {
    self,
    isRunning: p => running.some(r => r.pid === p.pid && r.startTime === p.startTime && r.bootId === p.bootId),
  }
}

describe('the owner of a data directory', () => {
  let files: MemoryFiles
  let clock: ManualClock
  beforeEach(async () => {
    clock = new ManualClock()
    files = new MemoryFiles(new SeededRandom(1), { clock })
    await files.mkdir(META)
  })
  const take = (p: Processes, c: Clock = clock) =>
    Owner.take({ files, directory: META, clock: c, processes: p, logger: silentLogger })
  const owners = async () => (await files.list(META)).filter(name => name.startsWith('owner'))

  test('is written down with its address, and gone after the release', async () => {
    const owner = await take(processes(ME))
    expect(await readOwner(files, DIR)).toEqual({ ...ME, openedAt: clock.now(), address: undefined })
    await owner.setAddress('http://127.0.0.1:8083')
    expect(await readOwner(files, DIR)).toMatchObject({ pid: 10, address: 'http://127.0.0.1:8083' })
    await owner.release()
    expect(await readOwner(files, DIR)).toBeUndefined()
    expect(await owners()).toEqual([])
  })

  test('that could not be written down leaves nothing behind: the next start is not in its way', async () => {
    const full = new FaultyFiles(files)
    full.fail({ call: 'write', error: 'ENOSPC', partialBytes: 3 })
    const taking = () =>
      Owner.take({ files: full, directory: META, clock, processes: processes(ME), logger: silentLogger })
    expect(await rejection(taking())).toMatchObject({ code: 'ENOSPC' })
    expect(await owners()).toEqual([])
    await taking()
    expect(await readOwner(files, DIR)).toMatchObject({ pid: 10 })
  })

  test('that lives is not replaced, and is named by its pid', async () => {
    await take(processes(ME, ME))
    const other = { ...ME, pid: 11, startTime: '200' }
    const error = await rejection(take(processes(other, ME, other)))
    expect(error).toMatchObject({
      code: 'DATA_DIR_IN_USE',
      message: expect.stringMatching(/\/data: .*process 10\b.*--data-dir/),
    })
    expect(await readOwner(files, DIR)).toMatchObject(ME)
  })

  test('that died is replaced at once', async () => {
    await take(processes(ME))
    const next = { ...ME, pid: 11, startTime: '200' }
    await take(processes(next, next))
    expect(await readOwner(files, DIR)).toMatchObject(next)
    expect(await owners()).toHaveLength(1)
  })

  test.each([
    ['started at another time', { ...ME, startTime: '999' }],
    ['belongs to another boot', { ...ME, bootId: 'boot-2' }],
  ])('whose pid runs again but %s is dead', async (_, reused) => {
    await take(processes(ME))
    await take(processes(reused, reused))
    expect(await readOwner(files, DIR)).toMatchObject(reused)
  })

  test('on another host is never replaced, and the advice says what to delete', async () => {
    await take(processes({ ...ME, host: 'elsewhere' }))
    const error = await rejection(take(processes(ME)))
    expect(error).toMatchObject({
      code: 'DATA_DIR_IN_USE',
      message: expect.stringMatching(/process 10 on host elsewhere.*delete \/data\/meta\/owner-0\.json/),
    })
  })

  test.each(['', '{', '{"pid":"x"}', '[]', 'null', '\0\0\0\0'])(
    'a file of garbage (%j) is replaced once it is old',
    async garbage => {
      const file = await files.open(`${META}/owner-3.json`, 'write')
      await file.write([Buffer.from(garbage)], 0)
      await file.close()
      expect(await rejection(take(processes(ME)))).toMatchObject({ code: 'DATA_DIR_IN_USE' })
      await clock.advance(5000)
      await take(processes(ME))
      expect(await readOwner(files, DIR)).toMatchObject(ME)
    },
  )

  test('is never two, however many try at once', async () => {
    let winners = 0
    for (let seed = 0; seed < 50; seed++) {
      files = new MemoryFiles(new SeededRandom(seed), { clock })
      await files.mkdir(META)
      await take(processes(ME))
      const tries = Array.from({ length: 5 }, (_, i) => ({ ...ME, pid: 20 + i, startTime: `${i}` }))
      const results = await Promise.allSettled(tries.map(self => take(processes(self, ...tries))))
      const won = results.filter(r => r.status === 'fulfilled').length
      expect(won, `seed ${seed}`).toBeLessThanOrEqual(1)
      winners += won
      for (const r of results) if (r.status === 'rejected') expect(r.reason).toMatchObject({ code: 'DATA_DIR_IN_USE' })
    }
    expect(winners).toBeGreaterThan(0)
  })
})

describe('with real processes', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kts-owner-'))
  })
  afterEach(() => rm(directory, { recursive: true }))

  test('a second process is refused while the first runs, and comes in when it was killed', async () => {
    const files = nodeFiles
    const parts = { files, directory, clock: systemClock, processes: systemProcesses, logger: silentLogger }
    const script = `
      import { nodeFiles, silentLogger, systemClock } from ${JSON.stringify(fileUrl('../../base/index.ts'))}
      import { systemProcesses } from ${JSON.stringify(fileUrl('../../base/process-info.ts'))}
      import { Owner } from ${JSON.stringify(fileUrl('../../broker/owner.ts'))}
      await Owner.take({ files: nodeFiles, directory: ${JSON.stringify(directory)}, clock: systemClock,
        processes: systemProcesses, logger: silentLogger })
      console.log('taken')
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      await once(child.stdout, 'data')
      const error = await rejection(Owner.take(parts))
      expect(error).toMatchObject({ code: 'DATA_DIR_IN_USE', message: expect.stringContaining(`process ${child.pid}`) })
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await (await Owner.take(parts)).release()
  })

  test('this process runs, and one that had its pid before does not', () => {
    const { self } = systemProcesses
    expect(systemProcesses.isRunning(self)).toBe(true)
    expect(systemProcesses.isRunning({ ...self, startTime: '1' })).toBe(process.platform !== 'linux')
    expect(systemProcesses.isRunning({ ...self, pid: 0x3fffffff })).toBe(false)
  })
})

function fileUrl(path: string): string {
  return new URL(path, import.meta.url).href
}
