import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeFiles } from '../../base/node-files.ts'
import { filesContract } from '../contract/files.ts'

filesContract('node', async () => {
  const directory = await nodeFiles.realpath(mkdtempSync(`${tmpdir()}/kts-files-`))
  return { files: nodeFiles, directory, dispose: () => nodeFiles.removeTree(directory) }
})

describe('node files', () => {
  let directory = ''
  beforeAll(() => {
    directory = mkdtempSync(`${tmpdir()}/kts-files-`)
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  it('a FIFO is refused at once, by name, and its writer is not woken', async () => {
    const fifo = `${directory}/fifo`
    execFileSync('mkfifo', [fifo])
    const writer = spawn('sh', ['-c', `echo x > '${fifo}'; echo woken`])
    let output = ''
    writer.stdout.on('data', chunk => (output += chunk))
    const gone = new Promise(resolve => writer.on('exit', resolve))
    for (const mode of ['read', 'write'] as const) {
      await expect(nodeFiles.open(fifo, mode)).rejects.toMatchObject({
        code: 'EINVAL',
        message: expect.stringContaining(fifo),
      })
    }
    writer.kill()
    await gone
    expect(output).toBe('')
  })

  it('a device is refused', async () => {
    await expect(nodeFiles.open('/dev/null', 'write')).rejects.toMatchObject({ code: 'EINVAL' })
    await expect(nodeFiles.open('/dev/zero', 'read')).rejects.toMatchObject({ code: 'EINVAL' })
  })

  it('a symbolic link is read through and never written through', async () => {
    symlinkSync('/etc/hostname', `${directory}/link`)
    symlinkSync(`${directory}/nowhere`, `${directory}/dangling`)
    await (await nodeFiles.open(`${directory}/link`, 'read')).close()
    for (const name of ['link', 'dangling']) {
      await expect(nodeFiles.open(`${directory}/${name}`, 'write')).rejects.toMatchObject({
        code: 'ELOOP',
        message: expect.stringContaining(`${directory}/${name}`),
      })
      await expect(nodeFiles.open(`${directory}/${name}`, 'exclusive')).rejects.toMatchObject({ code: 'EEXIST' })
    }
    expect(readdirSync(directory)).not.toContain('nowhere')
  })

  it.runIf(existsSync('/proc/self'))(
    'a folder that the system will not make is an error, not a wait without end',
    async () => {
      await expect(nodeFiles.mkdir('/proc/kts-connect/deep')).rejects.toMatchObject({ code: 'ENOENT' })
    },
  )

  it('files and directories are for their owner alone', async () => {
    await nodeFiles.mkdir(`${directory}/private/deep`)
    await (await nodeFiles.open(`${directory}/private/a`, 'write')).close()
    await (await nodeFiles.open(`${directory}/private/b`, 'exclusive')).close()
    for (const name of ['private', 'private/deep']) expect(statSync(`${directory}/${name}`).mode & 0o777).toBe(0o700)
    for (const name of ['private/a', 'private/b']) expect(statSync(`${directory}/${name}`).mode & 0o777).toBe(0o600)
  })

  it('a close waits for calls under way, so none of them can reach another file', async () => {
    for (let round = 0; round < 50; round++) {
      const one = await nodeFiles.open(`${directory}/one`, 'write')
      const chunk = Buffer.alloc(100_000, 'a')
      const writes = Array.from({ length: 8 }, (_, i) => one.write([chunk], i * chunk.length))
      const closed = one.close()
      const two = nodeFiles.open(`${directory}/two`, 'write')
      await Promise.all([...writes, closed])
      await (await two).close()
      expect(statSync(`${directory}/one`).size).toBe(800_000)
      expect(statSync(`${directory}/two`).size).toBe(0)
    }
  })

  it('identities pass 2^53 without rounding', async () => {
    const { ino } = await nodeFiles.stat(directory)
    expect(ino).toBe(String(statSync(directory, { bigint: true }).ino))
  })

  it('a full disk rejects with ENOSPC after a short count', async context => {
    const mount = `${directory}/small`
    mkdirSync(mount)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount], { stdio: 'ignore' })
    } catch {
      context.skip('mounting a small tmpfs is not allowed here')
    }
    try {
      const file = await nodeFiles.open(`${mount}/a`, 'write')
      const whole = Buffer.alloc(70_000, 'x')
      await expect(file.write([whole.subarray(0, 10), whole.subarray(10)], 0)).rejects.toMatchObject({ code: 'ENOSPC' })
      const { size } = await file.stat()
      await file.close()
      expect(size).toBeGreaterThan(10)
      expect(size).toBeLessThan(70_000)
      expect(readFileSync(`${mount}/a`)).toEqual(whole.subarray(0, size))
    } finally {
      execFileSync('umount', [mount])
    }
  })
})
