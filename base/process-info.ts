import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/** Enough to tell whether a process that wrote its identity down is still the one that has its pid. */
export interface ProcessIdentity {
  readonly host: string
  readonly pid: number
  /** Changes with every boot; undefined where the system does not tell. */
  readonly bootId: string | undefined
  /** When the process started, in the system's own count; undefined where it does not tell. */
  readonly startTime: string | undefined
}

/** What the operating system says about processes. A test hands in another one. */
export interface Processes {
  readonly self: ProcessIdentity
  /** Whether exactly that process runs on this host. */
  isRunning(process: ProcessIdentity): boolean
}

export const systemProcesses: Processes = {
  get self() {
    return { host: hostname(), pid: process.pid, bootId: bootId(), startTime: startTime(process.pid) }
  },
  isRunning({ pid, bootId: boot, startTime: start }) {
    if (boot !== undefined && boot !== bootId()) return false
    if (!exists(pid)) return false
    const now = startTime(pid)
    // A pid is given again; the same pid with the same start time is not.
    return start === undefined || now === undefined || start === now
  },
}

function exists(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs as somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function bootId(): string | undefined {
  return readText('/proc/sys/kernel/random/boot_id')?.trim()
}

/** Field 22 of /proc/<pid>/stat (proc(5)): ticks since boot. The second field may hold spaces and parentheses. */
function startTime(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
