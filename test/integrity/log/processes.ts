import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  errorCode,
  errorMessage,
  nodeFiles,
  randomInt,
  SeededRandom,
  silentLogger,
  systemClock,
  systemRandom,
} from '../../../base/index.ts'
import { openEmbeddedBroker } from '../../../broker/embedded.ts'
import { lines, readAll, valuesOf, write } from '../../support/broker-drivers.ts'
import { OPTIONS } from '../../support/embedded.ts'
import { type Death, KillRig, straceWorks } from './kills.ts'
import { type Part, pointsOf, type Size, Tally } from './part.ts'

const SCRIPT_TRANSACTIONS = 4
/** A child under load has more to do than it will live for. */
const ENDLESS = 1_000_000

/** L1 with real processes: each child kills itself before the nth change of the disk; the next one too, at its start-up. */
export const childKills: Part = {
  name: 'child-kills',
  doc: 'L1: child processes on real files, each killed at another change of the disk',
  async run(size) {
    const tally = new Tally(this.name, size)
    const whole = new KillRig(size.seed)
    const { changes, problems } = await whole.live({ killAt: 0 }, SCRIPT_TRANSACTIONS)
    tally.add(`--seed ${size.seed} # not killed`, problems)
    whole.dispose()
    for (const at of pointsOf(size, changes ?? 0)) {
      const rig = new KillRig(size.seed)
      const found = [...(await rig.live({ killAt: at }, SCRIPT_TRANSACTIONS)).problems]
      found.push(...(await rig.live({ killAt: 1 + (at % 100) }, SCRIPT_TRANSACTIONS)).problems)
      tally.add(`--seed ${size.seed} --point ${at}`, found)
      rig.dispose()
    }
    return tally.report()
  },
}

/** L1: one data directory, and children under load that are killed at any moment. */
export const randomKills: Part = {
  name: 'random-kills',
  doc: 'L1: children under load on real files, killed at random moments, on one data directory',
  async run(size) {
    const tally = new Tally(this.name, size)
    const random = new SeededRandom(size.seed)
    let rig = new KillRig(size.seed)
    let commits = 0
    for (let kill = 1; kill <= size.kills; kill++) {
      const afterMs = random.next() < 0.3 ? randomInt(random, 60) : randomInt(random, 500)
      const { problems } = await rig.live({ afterMs }, ENDLESS)
      tally.add(`--seed ${size.seed} --kills ${kill} # at another moment than this time`, problems)
      // What keeps growing takes ever longer to read back.
      if (kill % 25 === 0 || kill === size.kills || problems.length > 0) {
        commits += rig.ledger.counts.commits
        rig.dispose()
        rig = new KillRig(size.seed + kill)
      }
    }
    rig.dispose()
    const report = tally.report()
    return commits >= size.kills * 2 ? report : { ...report, void: `${commits} commits in ${size.kills} kills` }
  },
}

const SYSCALLS = ['pwrite64,pwritev', 'fdatasync', 'fsync', 'rename', 'ftruncate', 'unlink', 'mkdir']

/** L1 and L6 by the kernel's own hand: strace kills, or lets a call fail, at the nth of a kind. */
export const tracedCalls: Part = {
  name: 'strace',
  doc: 'L1, L6, L7: strace kills a child at each of its system calls, or answers them with EIO and ENOSPC',
  async run(size) {
    const tally = new Tally(this.name, size)
    if (!straceWorks()) return { ...tally.report(), void: 'strace is not here, or may not trace' }
    const errors = [
      ['fdatasync', 'EIO'],
      ['fsync', 'EIO'],
      ['pwrite64,pwritev', 'ENOSPC'],
      ['rename', 'EIO'],
    ] as const
    for (const syscall of SYSCALLS) await traceEach(size, tally, when => ({ syscall, when }))
    for (const [syscall, error] of errors) await traceEach(size, tally, when => ({ syscall, when, error }))
    return tally.report()
  },
}

async function traceEach(size: Size, tally: Tally, deathAt: (when: number) => Extract<Death, { syscall: string }>) {
  for (const when of pointsOf(size, Number.POSITIVE_INFINITY)) {
    const rig = new KillRig(size.seed)
    const death = deathAt(when)
    const { problems, changes } = await rig.live(death, SCRIPT_TRANSACTIONS)
    tally.add(`--seed ${size.seed} --point ${when} # ${death.syscall} ${death.error ?? 'KILL'}`, problems)
    rig.dispose()
    // It came to its end: there is no such call any more.
    if (changes !== undefined) return
  }
}

/** L7 on a real file system that is full. */
export const smallDisk: Part = {
  name: 'small-disk',
  doc: 'L7: a tmpfs of one megabyte is filled and emptied again under a running broker (as root)',
  async run(size) {
    const tally = new Tally(this.name, size)
    const directory = mkdtempSync(join(tmpdir(), 'kts-log-tmpfs-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], { stdio: 'ignore' })
    } catch {
      rmSync(directory, { recursive: true })
      return { ...tally.report(), void: 'a tmpfs cannot be mounted here' }
    }
    try {
      for (const fill of [1, 100, 3000]) tally.add(`--seed ${size.seed} # ${fill}`, await fillDisk(directory, fill))
    } finally {
      execFileSync('umount', [directory])
      rmSync(directory, { recursive: true })
    }
    return tally.report()
  },
}

/** Leaves `spare` bytes of the disk, writes until it is full, gives room back, and goes on in the same process. */
async function fillDisk(directory: string, spare: number): Promise<string[]> {
  const problems: string[] = []
  const data = join(directory, `data-${spare}`)
  mkdirSync(data)
  const open = () => openReal(data)
  let broker = await open()
  const acknowledged: string[] = []
  const commit = async (value: string) => {
    await write(broker, 't', 0, lines(value))
    acknowledged.push(value)
  }
  await broker.ensureTopic({ name: 't', configs: { 'segment.bytes': '65536' } })
  await commit('before')
  const ballast = join(directory, 'ballast')
  const free = await nodeFiles.freeBytes(directory)
  writeFileSync(ballast, Buffer.alloc(Math.max(0, free - 40_000 - spare)))
  let refused = 0
  for (let i = 0; i < 200 && refused < 3; i++) {
    await commit(`${i} ${'x'.repeat(900)}`).catch(error => {
      if (!['DISK_FULL', 'COMMIT_UNKNOWN'].includes(errorCode(error) ?? '')) problems.push(errorMessage(error))
      if (errorCode(error) === 'COMMIT_UNKNOWN') acknowledged.push('?')
      refused++
    })
  }
  if (refused === 0) problems.push('the disk was never full')
  rmSync(ballast)
  await commit('after').catch(error => problems.push(`did not go on: ${errorMessage(error)}`))
  const check = async () => {
    const found = valuesOf(await readAll(broker, 't', 0))
    const wanted = acknowledged.filter(value => value !== '?')
    const missing = wanted.filter(value => !found.includes(value))
    if (missing.length > 0) problems.push(`acknowledged and missing: ${missing.length}`)
    if (found.length > acknowledged.length) problems.push(`${found.length - acknowledged.length} nobody wrote`)
  }
  await check()
  await broker.close()
  broker = await open()
  await check()
  await broker.close()
  rmSync(data, { recursive: true })
  return problems
}

/** As the worker does: with the system's own files, clock and processes. */
export function openReal(directory: string) {
  const [files, clock, random, log] = [nodeFiles, systemClock, systemRandom, silentLogger]
  return openEmbeddedBroker({ directory, files, clock, random, log, options: OPTIONS })
}

/** L10: of two processes on one data directory the second is told who has it. */
export const twoProcesses: Part = {
  name: 'two-processes',
  doc: 'L10: a second process refuses a data directory in use, names the owner, and takes it once that is killed',
  async run(size) {
    const tally = new Tally(this.name, size)
    const directory = mkdtempSync(join(tmpdir(), 'kts-log-owners-'))
    const code = `const { openReal } = await import(${JSON.stringify(import.meta.url)})
      await openReal(${JSON.stringify(directory)})
      console.log('open')
      setInterval(() => {}, 1000)`
    const holder = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(holder, 'exit')
    await Promise.race([once(holder.stdout, 'data'), ended])
    const second = await openReal(directory).then(
      () => 'opened twice',
      error => `${errorCode(error)} ${errorMessage(error)}`,
    )
    const named = second.startsWith('DATA_DIR_IN_USE') && second.includes(String(holder.pid))
    tally.add(`--seed ${size.seed}`, named ? [] : [second])
    holder.kill('SIGKILL')
    await ended
    const third = await openReal(directory)
    await third.close()
    rmSync(directory, { recursive: true })
    return tally.report()
  },
}
