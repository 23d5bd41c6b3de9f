import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../runtime/api/index.ts'
import { Tail } from './file/tail-harness.ts'

const has = (program: string) => spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${program}`]).status === 0
const missing = ['nginx', 'logrotate'].filter(program => !has(program))
if (missing.length > 0) console.warn(`SKIPPED: the real nginx test needs ${missing.join(' and ')} (apt install)`)

describe.skipIf(missing.length > 0)('real nginx', () => {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
  const folder = mkdtempSync(join(tmpdir(), 'kts-nginx-'))
  const log = join(folder, 'access.log')
  let nginx: ChildProcess
  let base: string
  let sent = 0

  beforeAll(async () => {
    const port = await freePort()
    base = `http://127.0.0.1:${port}`
    chmodSync(folder, 0o755)
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; ${user} worker_processes 2; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
       events {} http { access_log ${log} combined; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p;
       fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
       server { listen 127.0.0.1:${port}; location / { return 204; } } }`,
    )
    nginx = spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { env, stdio: 'inherit' })
    for (;;) {
      if (nginx.exitCode !== null) throw new Error(`nginx ended with ${nginx.exitCode}`)
      if (
        await fetch(`${base}/ready`).then(
          () => true,
          () => false,
        )
      )
        break
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  })

  afterAll(async () => {
    const ended = new Promise(resolve => nginx.once('exit', resolve))
    nginx.kill('SIGQUIT')
    await ended
    rmSync(folder, { recursive: true })
  })

  async function requests(count: number): Promise<void> {
    for (let i = 0; i < count; i += 20) {
      await Promise.all(Array.from({ length: 20 }, () => fetch(`${base}/?id=${sent++}`).then(r => r.arrayBuffer())))
    }
  }

  const ids = (tail: Tail) => tail.lines.flatMap(line => /\?id=(\d+)/.exec(line)?.[1] ?? []).map(Number)
  const open = async () => {
    const tail = new Tail({ paths: [log], 'poll.interval.ms': 200, 'rotate.wait.ms': 2000 }, { clock: systemClock })
    await tail.start()
    return tail
  }

  it('rotated by rename and USR1 under load: every request arrives exactly once', async () => {
    const tail = await open()
    const first = sent
    let done = false
    const load = (async () => {
      for (let round = 1; round <= 8; round++) {
        await requests(200)
        for (let i = round - 1; i >= 1; i--) renameSync(`${log}.${i}`, `${log}.${i + 1}`)
        renameSync(log, `${log}.1`)
        await requests(40)
        process.kill(nginx.pid!, 'SIGUSR1')
        while (!existsSync(log)) await requests(20)
      }
      done = true
    })()
    await tail.until(() => done)
    await load
    await tail.until(() => ids(tail).length >= sent - first)
    await tail.stop()
    expect(ids(tail).sort((a, b) => a - b)).toEqual(Array.from({ length: sent - first }, (_, i) => first + i))
  })

  it.each(['create', 'copytruncate'])(
    "rotated by Debian's logrotate (%s) between requests: every request once",
    async mode => {
      const tail = await open()
      const first = sent
      const config = join(folder, `logrotate-${mode}.conf`)
      const reopen = `postrotate\n kill -USR1 ${nginx.pid}\n endscript`
      writeFileSync(
        config,
        `${log} {\n rotate 20\n missingok\n ${mode === 'create' ? `create 0640\n ${reopen}` : mode}\n}\n`,
      )
      chmodSync(config, 0o600)
      for (let round = 0; round < 4; round++) {
        const from = sent
        await requests(100)
        await logged(from)
        // Half of it is read before the rotation, at least; the rest may be found behind it.
        await tail.until(() => ids(tail).filter(id => id >= first).length >= sent - first - 50)
        execFileSync('logrotate', ['--force', '--state', join(folder, 'state'), config], { env })
        if (mode === 'create') await tail.until(() => existsSync(log))
      }
      await requests(20)
      await tail.until(() => ids(tail).filter(id => id >= first).length >= sent - first)
      await tail.stop()
      const mine = ids(tail).filter(id => id >= first)
      expect(mine.sort((a, b) => a - b)).toEqual(Array.from({ length: sent - first }, (_, i) => first + i))
    },
  )

  /** nginx logs a request behind its answer, and reopens behind the signal: until all of these are in one file or the other. */
  async function logged(from: number): Promise<void> {
    for (;;) {
      const text = [log, `${log}.1`].map(path => (existsSync(path) ? readFileSync(path, 'utf8') : '')).join('')
      let id = from
      while (id < sent && text.includes(`?id=${id} `)) id++
      if (id === sent) return
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
})

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
