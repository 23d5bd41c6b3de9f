import { SeededRandom } from '../../../base/index.ts'
import type { Image } from './image.ts'
import { type Part, type Size, Tally } from './part.ts'
import { type PlainBatch, plainBatches } from './plain-log.ts'
import { DIRECTORY, lookAt, makeStages, type Shown, type Stage } from './stage.ts'

const REFUSALS: readonly string[] = ['CORRUPT_MESSAGE', 'STORAGE_FAILED', 'DATA_DIR_IN_USE']
const PLACE = 'plain-0'

/** L3: a tail that was cut at any byte loses no more than what the cut took, and says so. */
export const tornTails: Part = {
  name: 'torn-tail',
  doc: 'L3: the last segment cut at every byte of its last three batches, acknowledged or not',
  async run(size) {
    const tally = new Tally(this.name, size)
    const { killed, closed } = await makeStages(size.seed)
    for (const [name, stage] of Object.entries({ killed, closed })) {
      const file = segmentsOf(stage.image, PLACE).at(-1)!
      const bytes = stage.image.get(file)!
      const batches = plainBatches(file, bytes)
      const from = batches.at(-3)?.position ?? 0
      for (let cut = from + (size.seed % size.stride); cut < bytes.length; cut += size.stride) {
        const image = new Map(stage.image).set(file, bytes.subarray(0, cut))
        const firstLost = batches.find(b => b.position + b.size > cut)!.baseOffset
        const lost = { file, firstOffset: firstLost, lastOffset: Number.MAX_SAFE_INTEGER, control: true }
        tally.add(`${one(size)} # ${name}, cut at ${cut}`, await judge(stage, image, lost))
      }
    }
    return tally.report()
  },
}

/** L4: no bit of a batch can change without being told, and nothing but that batch is lost. */
export const flippedBits: Part = {
  name: 'bit-flip',
  doc: 'L4: every bit flipped of a batch in the middle, of a marker, and of a record of the transaction log',
  async run(size) {
    const tally = new Tally(this.name, size)
    const { killed, closed } = await makeStages(size.seed)
    for (const [name, stage] of Object.entries({ killed, closed })) {
      for (const [what, batch] of Object.entries(victims(stage.image))) {
        for (let bit = size.seed % size.stride; bit < batch.size * 8; bit += size.stride) {
          const bytes = Buffer.from(stage.image.get(batch.file)!)
          const at = batch.position + (bit >> 3)
          bytes[at] = bytes[at]! ^ (1 << (bit & 7))
          const image = new Map(stage.image).set(batch.file, bytes)
          tally.add(`${one(size)} # ${name}, ${what}, bit ${bit}`, await judge(stage, image, batch))
        }
      }
    }
    return tally.report()
  },
}

/** L5: whatever stands beside the log is built again or refused with its name; nothing is begun anew in silence. */
export const brokenFiles: Part = {
  name: 'broken-files',
  doc: 'L5: each file but the logs themselves emptied, zeroed, cut, deleted, random, from the past and from the future',
  async run(size) {
    const tally = new Tally(this.name, size)
    const { killed, closed, later } = await makeStages(size.seed)
    for (const [name, stage] of Object.entries({ killed, closed })) {
      const files = [...stage.image.keys()].filter(file => !file.endsWith('.log'))
      for (let i = size.seed % size.stride; i < files.length; i += size.stride) {
        const file = files[i]!
        for (const [how, content] of variants(file, stage, name === 'closed' ? killed : later, later, size.seed)) {
          const image = new Map(stage.image)
          if (content === undefined) image.delete(file)
          else image.set(file, content)
          tally.add(`${one(size)} # ${name}, ${file} ${how}`, await judge(stage, image, { file }))
        }
      }
    }
    return tally.report()
  },
}

function one(size: Size): string {
  return `--seed ${size.seed}`
}

function segmentsOf(image: Image, place: string): string[] {
  return [...image.keys()].filter(path => path.startsWith(`${DIRECTORY}/${place}/`) && path.endsWith('.log')).sort()
}

function victims(image: Image): Record<string, PlainBatch> {
  const all = (place: string) => segmentsOf(image, place).flatMap(file => plainBatches(file, image.get(file)!))
  const middle = (batches: readonly PlainBatch[]) => batches[batches.length >> 1]
  const found = {
    'a batch in the middle': middle(all(PLACE).filter(batch => !batch.control)),
    'a packed batch': middle(all('packed-0').filter(batch => !batch.control)),
    'a marker': middle(all(PLACE).filter(batch => batch.control)),
    'the transaction log': all('__transaction_state-0').at(-2),
    'the checkpoints': middle(all('connect-offsets-0').filter(batch => !batch.control)),
  }
  return Object.fromEntries(
    Object.entries(found).flatMap(([what, batch]) => (batch === undefined ? [] : [[what, batch]])),
  )
}

function variants(
  file: string,
  stage: Stage,
  past: Stage,
  future: Stage,
  seed: number,
): [string, Buffer | undefined][] {
  const bytes = stage.image.get(file)!
  const out: [string, Buffer | undefined][] = [
    ['deleted', undefined],
    ['emptied', Buffer.alloc(0)],
    ['zeroed', Buffer.alloc(Math.max(64, bytes.length))],
    ['cut in half', bytes.subarray(0, bytes.length >> 1)],
    ['cut by one byte', bytes.subarray(0, Math.max(0, bytes.length - 1))],
    ['random', new SeededRandom(seed).bytes(Math.max(64, bytes.length))],
  ]
  for (const [how, other] of [
    ['from the past', past],
    ['from the future', future],
  ] as const) {
    const content = other.image.get(file)
    if (content !== undefined && !content.equals(bytes)) out.push([how, content])
  }
  return out
}

/** What was damaged: nothing outside of it may be missing. Without offsets nothing may be missing at all. */
interface Damaged {
  readonly file: string
  readonly firstOffset?: number
  readonly baseOffset?: number
  readonly lastOffset?: number
  /** It may have held markers, without which nobody can tell what became of records before it: they are named. */
  readonly control?: boolean
}

async function judge(stage: Stage, image: Image, damaged: Damaged): Promise<string[]> {
  let after: Shown
  try {
    after = await lookAt(image, stage.now)
  } catch (error) {
    return [error instanceof Error ? (error.stack ?? error.message) : String(error)]
  }
  const { refused } = after
  if (refused !== undefined) {
    const clear = REFUSALS.includes(refused.code) && namesPlace(refused.message, damaged.file)
    return clear ? [] : [`refused without a word about ${damaged.file}: ${refused.code} ${refused.message}`]
  }
  const problems: string[] = []
  const before = stage.shown
  const told = after.log.some(line => isWarning(line.level) && namesPlace(JSON.stringify(line.fields), damaged.file))
  for (const [at, digest] of after.records) {
    if (before.records.get(at) !== digest)
      problems.push(`${at} is shown as ${digest}, and was ${before.records.get(at)}`)
  }
  const [first, last] = [damaged.firstOffset ?? damaged.baseOffset ?? Infinity, damaged.lastOffset ?? -1]
  for (const at of before.records.keys()) {
    if (after.records.has(at)) continue
    const [place, text] = at.split(' ')
    const offset = Number(text)
    const taken = damaged.file.includes(`/${place}/`) && offset >= first && offset <= last
    // A whole file that says they were deleted is believed, and that it differs from its copy is said.
    if (told && damaged.file.endsWith('/log-start-offset-checkpoint') && offset < (after.starts.get(place!) ?? 0))
      continue
    const named = after.named.some(n => n.place === place && n.firstOffset <= offset && offset <= n.lastOffset)
    if (named && damaged.control === true) continue
    if (!taken || !(named || told)) problems.push(`${at} is missing${taken ? ', and nobody was told' : ''}`)
  }
  for (const key of new Set([...before.positions.keys(), ...after.positions.keys()])) {
    const [old, now] = [before.positions.get(key), after.positions.get(key)]
    if (old !== now && !told) problems.push(`${key} was ${old} and is ${now}, and nobody was told`)
  }
  for (const [place, offset] of after.appendedAt) {
    if (before.records.has(`${place} ${offset}`)) problems.push(`${place}: offset ${offset} was given again`)
    else if (offset < 0) problems.push(`${place}: what is appended is not read`)
  }
  for (const place of before.appendedAt.keys())
    if (!after.appendedAt.has(place)) problems.push(`${place} is gone${told ? '' : ', and nobody was told'}`)
  return problems
}

function isWarning(level: string): boolean {
  return level === 'warn' || level === 'error'
}

/** The file itself, or its name without the data directory, or the folder of its partition. */
function namesPlace(text: string, file: string): boolean {
  const [folder] = file.slice(DIRECTORY.length + 1).split('/')
  return text.includes(file) || (folder !== 'meta' && text.includes(folder!))
}
