import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, randomInt } from '../../base/index.ts'

const BURST_LINES_MAX = 60
const PADDING_MAX = 300

interface Log {
  readonly name: string
  /** Counts rotations: the file that is written now. */
  generation: number
  /** Number of the next line, never repeated. */
  next: number
  /** The rest of a line that was begun. */
  half: Buffer
}

/**
 * Several logs that grow as real ones do: in bursts, now and then by half a line, and rotated by rename, some to a new name
 * each time and some by shifting `.1`, `.2`, … on. Every line carries file, generation, number and a hash over the
 * rest, which holds any bytes but newlines where lines are not text.
 */
export class RotatingLogs {
  readonly #directory: string
  readonly #random: Random
  readonly #logs: readonly Log[]
  readonly #rotateOnceIn: number
  written = 0
  rotations = 0
  /** Before, the logs only grow. */
  mayRotate = false
  readonly #hours: readonly string[]
  #hour = ''

  /**
   * About one step in `rotateOnceIn` rotates a log. With `hours` (`2026-11-20T14`) every line is text that begins with a
   * time, and a burst is of one hour.
   */
  constructor(directory: string, count: number, rotateOnceIn: number, random: Random, hours: readonly string[] = []) {
    this.#hours = hours
    this.#directory = directory
    this.#random = random
    this.#rotateOnceIn = rotateOnceIn
    this.#logs = Array.from({ length: count }, (_, i) => ({
      name: `app-${i}.log`,
      generation: 0,
      next: 0,
      half: Buffer.alloc(0),
    }))
    for (const { name } of this.#logs) writeFileSync(join(directory, name), '')
  }

  step(): void {
    const i = randomInt(this.#random, this.#logs.length)
    const log = this.#logs[i]!
    if (this.#hours.length > 0) this.#hour = this.#hours[randomInt(this.#random, this.#hours.length)]!
    const lines = Array.from({ length: 1 + randomInt(this.#random, BURST_LINES_MAX) }, () => this.#line(log))
    this.#append(log, Buffer.concat([log.half, ...lines]))
    if (this.mayRotate && randomInt(this.#random, this.#rotateOnceIn) === 0) this.#rotate(log, i % 2 === 0)
    else if (randomInt(this.#random, 4) === 0) this.#begin(log)
  }

  finish(): void {
    for (const log of this.#logs) this.#append(log, log.half)
  }

  #append(log: Log, bytes: Buffer): void {
    appendFileSync(join(this.#directory, log.name), bytes)
    log.half = Buffer.alloc(0)
  }

  /** Writes the first part of a line and keeps the rest for later. */
  #begin(log: Log): void {
    const line = this.#line(log)
    const cut = 1 + randomInt(this.#random, line.length - 1)
    this.#append(log, line.subarray(0, cut))
    log.half = line.subarray(cut)
  }

  #rotate(log: Log, shift: boolean): void {
    const path = join(this.#directory, log.name)
    if (shift) {
      const taken = readdirSync(this.#directory).filter(name => name.startsWith(`${log.name}.`)).length
      for (let n = taken; n > 0; n--) renameSync(`${path}.${n}`, `${path}.${n + 1}`)
      renameSync(path, `${path}.1`)
    } else {
      const rotated = `${path}-${String(log.generation).padStart(6, '0')}`
      if (existsSync(rotated)) throw new Error(`${rotated} is there already`)
      renameSync(path, rotated)
    }
    log.generation++
    this.rotations++
    writeFileSync(path, '', { flag: 'wx' })
  }

  #line(log: Log): Buffer {
    const padding = this.#padding()
    const identity = `${log.name} ${log.generation} ${log.next++} `
    const hash = createHash('sha256').update(identity).update(padding).digest('hex').slice(0, 16)
    this.written++
    return Buffer.concat([Buffer.from(`${this.#time()}${identity}${hash} `), padding, Buffer.from('\n')])
  }

  #padding(): Buffer {
    const padding = this.#random.bytes(randomInt(this.#random, PADDING_MAX))
    if (this.#hours.length > 0) return Buffer.from(padding.toString('base64'))
    for (let i = 0; i < padding.length; i++) if (padding[i] === 10) padding[i] = 32
    return padding
  }

  #time(): string {
    if (this.#hours.length === 0) return ''
    return `${this.#hour}:${String(randomInt(this.#random, 60)).padStart(2, '0')}:07+00:00 `
  }
}
