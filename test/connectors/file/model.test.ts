import { describe, expect, it } from 'vitest'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { ManualClock, randomInt, SeededRandom } from '../../../runtime/api/index.ts'
import { Tail, Writer } from './tail-harness.ts'

const LOG = '/logs/app.log'
const SEQUENCES = Number(process.env.KTS_TEST_SEQUENCES ?? 300)
const FIRST_SEED = Number(process.env.KTS_TEST_SEED ?? Math.floor(Math.random() * 1e9))
const ACTIONS = 40
const KEPT = 4

/** One file as the program that writes it knows it. */
interface ModelFile {
  /** Complete lines, and those completed later, in order. */
  readonly lines: string[]
  /** A line that has no end yet. */
  partial: string
}

/** Writes, rotates and reads in a random order, and knows what must arrive: every line once, each file's in order. */
class Model {
  readonly clock = new ManualClock()
  readonly random: SeededRandom
  readonly files: MemoryFiles
  readonly write: Writer
  readonly tail: Tail
  readonly all: ModelFile[] = []
  readonly log: string[] = []
  /** Line content → how often it may arrive: lines that copytruncate took before anybody could know them. */
  readonly mayBeLost = new Set<string>()
  current: ModelFile
  /** Rotated names that exist, newest first: `app.log.1`, ... */
  rotated: ModelFile[] = []
  running = false
  #sequence = 0

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
    this.files = new MemoryFiles(new SeededRandom(seed + 1), { clock: this.clock })
    this.write = new Writer(this.files)
    const paths = this.random.next() < 0.5 ? [LOG] : ['/logs/*.log']
    const batch = 4096 << randomInt(this.random, 4)
    const options = { paths, 'batch.bytes': batch, 'max.line.bytes': 3000 }
    this.tail = new Tail(options, { files: this.files, clock: this.clock, seed: seed + 2 })
    this.current = this.#newFile()
  }

  #newFile(): ModelFile {
    const file = { lines: [], partial: '' }
    this.all.push(file)
    return file
  }

  #line(): string {
    const length = randomInt(this.random, 10) === 0 ? 2000 : randomInt(this.random, 120)
    return `${this.#sequence++} ${'x'.repeat(length)}`
  }

  async append(file = this.current, path = LOG): Promise<void> {
    let text = ''
    const count = 1 + randomInt(this.random, 20)
    for (let i = 0; i < count; i++) {
      const line = file.partial + (file.partial === '' ? this.#line() : 'end')
      text += `${line.slice(file.partial.length)}\n`
      file.partial = ''
      file.lines.push(line)
    }
    await this.write.append(path, text)
  }

  async appendPartial(): Promise<void> {
    const more = this.current.partial === '' ? this.#line() : 'more'
    this.current.partial += more
    await this.write.append(LOG, more)
  }

  async shift(): Promise<void> {
    for (let i = Math.min(this.rotated.length, KEPT); i >= 1; i--)
      await this.files.rename(`${LOG}.${i}`, `${LOG}.${i + 1}`)
    if (this.rotated.length > KEPT - 1) {
      // Deleting what was not read loses it by nature: so it is read before.
      await this.ensureRead()
      for (const _ of this.rotated.splice(KEPT - 1)) await this.files.unlink(`${LOG}.${KEPT + 1}`).catch(() => {})
    }
  }

  async rename(): Promise<void> {
    if (!(await this.exists())) return
    await this.shift()
    const old = this.current
    await this.files.rename(LOG, `${LOG}.1`)
    // The program may go on writing to the old file for a while.
    if (this.random.next() < 0.3) await this.append(old, `${LOG}.1`)
    this.#close(old)
    this.rotated.unshift(old)
    this.current = this.#newFile()
    if (this.random.next() < 0.7) await this.append()
  }

  async copyTruncate(): Promise<void> {
    if (!(await this.exists())) return
    await this.shift()
    const old = this.current
    // Nothing tells a copy from any other file as long as nothing of the original was read.
    if (this.random.next() < 0.7) await this.ensureRead()
    else if (this.running) await this.tail.poll()
    for (const line of [...old.lines, old.partial]) this.mayBeLost.add(line)
    await this.write.copyTruncate(LOG, `${LOG}.1`)
    this.#close(old)
    this.rotated.unshift(old)
    this.current = this.#newFile()
  }

  /** Its partial line, if any, is its last. */
  #close(file: ModelFile): void {
    if (file.partial !== '') file.lines.push(file.partial)
    file.partial = ''
  }

  async exists(): Promise<boolean> {
    return this.files.stat(LOG).then(
      () => true,
      () => false,
    )
  }

  async ensureRead(): Promise<void> {
    await this.start()
    await this.tail.drain()
    await this.clock.advance(6000)
    await this.tail.drain()
  }

  async start(): Promise<void> {
    if (!this.running) await this.tail.start()
    this.running = true
  }

  async stop(): Promise<void> {
    if (this.running) await this.tail.stop()
    this.running = false
  }

  async act(): Promise<void> {
    // Files of one instant cannot be told by age, which no real rotation makes.
    await this.clock.advance(1 + randomInt(this.random, 2000))
    const actions: [string, number, () => Promise<void>][] = [
      ['append', 8, () => this.append()],
      ['appendPartial', 4, () => this.appendPartial()],
      ['rename', 3, () => this.rename()],
      ['copyTruncate', this.copies ? 2 : 0, () => this.copyTruncate()],
      ['stop', 2, () => this.stop()],
      ['start', 4, () => this.start()],
      ['poll', 8, async () => void (this.running && (await this.tail.poll()))],
      ['drain', 3, async () => void (this.running && (await this.tail.drain()))],
    ]
    let pick = randomInt(
      this.random,
      actions.reduce((sum, [, weight]) => sum + weight, 0),
    )
    for (const [name, weight, run] of actions) {
      pick -= weight
      if (pick >= 0) continue
      this.log.push(name)
      return run()
    }
  }

  copies = false

  check(seed: number): void {
    const said = `seed ${seed}: ${this.log.join(' ')}`
    const delivered = new Map<string, number>()
    for (const line of this.tail.lines) delivered.set(line, (delivered.get(line) ?? 0) + 1)
    const written = new Set(this.all.flatMap(file => file.lines))
    const repeated = [...delivered].filter(([, times]) => times > 1).map(([line]) => line)
    const invented = [...delivered.keys()].filter(line => !written.has(line))
    const lost = [...written].filter(line => !delivered.has(line) && !this.mayBeLost.has(line))
    const short = (lines: string[]) => lines.map(line => line.slice(0, 20))
    expect({ lost: short(lost), repeated: short(repeated), invented: short(invented) }, said).toEqual({
      lost: [],
      repeated: [],
      invented: [],
    })
    for (const lines of this.tail.byFile.values()) {
      const numbers = lines.map(line => Number(line.split(' ')[0]))
      expect(numbers, said).toEqual([...numbers].sort((a, b) => a - b))
    }
  }
}

async function run(seed: number, copies: boolean): Promise<void> {
  const model = new Model(seed)
  model.copies = copies
  await model.files.mkdir('/logs')
  // What was rotated away before the very first start is not the connector's.
  await model.append()
  await model.ensureRead()
  for (let i = 0; i < ACTIONS; i++) await model.act()
  await model.ensureRead()
  model.check(seed)
}

/** More: `KTS_TEST_SEQUENCES=10000 npx vitest run test/connectors/file/model.test.ts`; one again: `KTS_TEST_SEED=…`. */
describe(`the file source against a model, ${SEQUENCES} sequences from seed ${FIRST_SEED}`, () => {
  it('delivers every line once and in order through renames, stops and partial lines', async () => {
    console.log(`model seed ${FIRST_SEED}`)
    for (let i = 0; i < SEQUENCES / 2; i++) await run(FIRST_SEED + i, false)
  }, 1_200_000)

  it('does so through copytruncate too, but for what was truncated before it was read', async () => {
    for (let i = 0; i < SEQUENCES / 2; i++) await run(FIRST_SEED + 500_000_000 + i, true)
  }, 1_200_000)
})
