import type { LogFormat, Step } from './log-format.ts'
import { type EscapeStyle, unescapeText } from './text.ts'
import { parseIso8601, parseTimeLocal } from './time.ts'
import { timeRank } from './variables.ts'

/** Fields of one line, by nginx's names; the prototype is null. */
export type Fields = Record<string, string | number | null>

const QUOTE = 34
const BACKSLASH = 92
const SPACE = 32

/**
 * A log format as a scanner. Each variable ends at the first occurrence of what follows it (a quoted one at its closing
 * quote), and nothing is tried twice: the work is linear in the line, whatever the line holds.
 */
export class LineScanner {
  /** Milliseconds since the epoch that the last scanned line told; undefined when it told none. */
  timestamp: number | undefined
  readonly #before: string
  readonly #steps: readonly Step[]
  readonly #escape: EscapeStyle
  readonly #timeStep: number
  /** Every field in order, null: cloned and overwritten, so all lines of a format share one hidden class. */
  readonly #template: Fields = {}
  // Most lines tell the same second as the one before.
  #timeText = ''
  #timeMs = Number.NaN

  constructor({ before, steps }: LogFormat, style: EscapeStyle) {
    this.#before = before
    this.#steps = steps
    this.#escape = style
    const ranks = steps.map(step => timeRank(step.kind))
    const finest = Math.max(...ranks)
    this.#timeStep = finest === 0 ? -1 : ranks.indexOf(finest)
    for (const { name, kind } of steps) {
      this.#template[name] = null
      if (kind === 'request') Object.assign(this.#template, { method: null, path: null, protocol: null })
    }
  }

  /** The line's fields, or in words what was expected and where. */
  scan(line: string): Fields | string {
    this.timestamp = undefined
    if (!line.startsWith(this.#before)) return expected(`"${this.#before}"`, 0)
    const fields: Fields = { ...this.#template }
    const escaped = this.#escape !== 'none' && line.indexOf('\\') >= 0
    let at = this.#before.length
    for (let i = 0; i < this.#steps.length; i++) {
      const step = this.#steps[i]!
      const end = this.#end(line, at, step, escaped)
      if (end < 0) return expected(`${quoted(step.after)} after $${step.name}`, at)
      let text = line.slice(at, end)
      if (escaped) text = unescapeText(text, this.#escape)
      if (!this.#isAbsent(text) && !this.#put(fields, step, text, i)) return expected(describe(step), at)
      at = end + step.after.length
    }
    if (at !== line.length) return expected('the end of the line', at)
    // Last, because a property is added fastest while the prototype is the usual one.
    return Object.setPrototypeOf(fields, null) as Fields
  }

  /** Where the value that begins at `at` ends, or -1. */
  #end(line: string, at: number, { after, quoted, kind }: Step, escaped: boolean): number {
    if (after === '') return line.length
    if (!quoted || this.#escape === 'none') {
      const end = find(line, after, at)
      return kind === 'word' && end >= 0 && !isWord(line, at, end) ? -1 : end
    }
    const end = escaped ? closingQuote(line, at) : line.indexOf('"', at)
    return end >= 0 && standsAt(line, after, end) ? end : -1
  }

  /** nginx writes `-` for a variable without a value, and nothing at all with escape=json and escape=none. */
  #isAbsent(text: string): boolean {
    return this.#escape === 'default' ? text === '-' : text === ''
  }

  #put(fields: Fields, { name, kind }: Step, text: string, step: number): boolean {
    if (kind === 'text' || kind === 'word') {
      fields[name] = text
      return true
    }
    if (kind === 'request') {
      fields[name] = text
      splitRequest(fields, text)
      return true
    }
    if (kind === 'integer' || kind === 'decimal') {
      const number = kind === 'integer' ? integer(text) : decimal(text)
      fields[name] = number
      return number >= 0
    }
    const ms = this.#time(kind, text)
    if (Number.isNaN(ms)) return false
    fields[name] = kind === 'msec' ? ms / 1000 : text
    if (step === this.#timeStep) this.timestamp = ms
    return true
  }

  #time(kind: Step['kind'], text: string): number {
    if (kind === 'msec') return Math.round(decimal(text) * 1000)
    if (text === this.#timeText) return this.#timeMs
    const ms = kind === 'time-local' ? parseTimeLocal(text) : parseIso8601(text)
    this.#timeText = text
    this.#timeMs = ms
    return ms
  }
}

/** `GET /path HTTP/1.1` in its three parts; anything else leaves them null. The path may hold spaces, as clients send it. */
function splitRequest(fields: Fields, request: string): void {
  const first = request.indexOf(' ')
  const last = request.lastIndexOf(' ')
  if (first <= 0 || last <= first + 1 || !request.startsWith('HTTP/', last + 1)) return
  fields.method = request.slice(0, first)
  fields.path = request.slice(first + 1, last)
  fields.protocol = request.slice(last + 1)
}

/** `line.indexOf(literal, from)`; V8 searches fast for one character and slowly for several. */
function find(line: string, literal: string, from: number): number {
  const first = literal.charAt(0)
  let at = line.indexOf(first, from)
  while (at >= 0 && !standsAt(line, literal, at)) at = line.indexOf(first, at + 1)
  return at
}

/** Whether `literal`, whose first character is known to be there, stands at `at`. */
function standsAt(line: string, literal: string, at: number): boolean {
  for (let i = 1; i < literal.length; i++) if (line.charCodeAt(at + i) !== literal.charCodeAt(i)) return false
  return true
}

/** The first double quote from `at` that no backslash precedes. */
function closingQuote(line: string, at: number): number {
  for (let i = at; i < line.length; i++) {
    const code = line.charCodeAt(i)
    if (code === QUOTE) return i
    if (code === BACKSLASH) i++
  }
  return -1
}

function isWord(line: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (line.charCodeAt(i) === SPACE) return false
  return true
}

/** Digits alone, at most 15 so that none is rounded; NaN otherwise. */
function integer(text: string): number {
  const { length } = text
  if (length === 0 || length > 15) return Number.NaN
  let value = 0
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

/** Digits with an optional fraction, at most 15 in all; NaN otherwise. */
function decimal(text: string): number {
  const dot = text.indexOf('.')
  if (dot < 0) return integer(text)
  const fraction = text.slice(dot + 1)
  if (text.length > 16) return Number.NaN
  return Number.isNaN(integer(text.slice(0, dot))) || Number.isNaN(integer(fraction)) ? Number.NaN : Number(text)
}

function describe({ name, kind }: Step): string {
  if (kind === 'integer') return `a whole number for $${name}`
  return kind === 'decimal' ? `a number for $${name}` : `a time for $${name}`
}

function quoted(literal: string): string {
  return literal === '' ? 'the end of the line' : `'${literal}'`
}

function expected(what: string, at: number): string {
  return `expected ${what} from column ${at + 1} on`
}
