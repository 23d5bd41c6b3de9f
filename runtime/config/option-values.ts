import { resolve } from 'node:path'
import type { OptionSpec } from '../api/index.ts'
import type { FlatOption } from './flat-options.ts'
import { describeNode, type ScalarNode } from './nodes.ts'
import { quoted } from './problems.ts'
import type { Resolved } from './references.ts'
import { didYouMean } from './suggest.ts'
import { parseDuration, parseSize } from './units.ts'

export type OptionValue =
  | string
  | number
  | boolean
  | readonly string[]
  | Readonly<Record<string, string | readonly string[]>>
  | undefined

export type Parsed = { readonly value: OptionValue } | { readonly problem: string }

/** What reading a value needs besides its declaration. */
export interface ValueContext {
  /** Absolute; relative paths start here. */
  readonly folder: string
  /** `secret`: nothing of the text may stand in a problem. */
  resolve(text: string, secret: boolean): Resolved
}

/** Text of one scalar, references put in. */
interface Text {
  readonly text: string
  /** May be repeated in a message. */
  readonly shown: string
  /** Neither quoted nor put in. */
  readonly plain: boolean
}

/** One option's value after its declaration: Kafka's ConfigDef, but for durations and sizes with units. */
export function parseOption(option: FlatOption, spec: OptionSpec, context: ValueContext): Parsed {
  const node = option.value
  if (node.kind === 'empty') {
    return spec.default === null || node.broken === true
      ? { value: undefined }
      : { problem: `expected ${expectation(spec)}, got nothing` }
  }
  const parsed = spec.type === 'list' ? parseList(node, spec, context) : parseSingle(node, spec, context)
  if ('problem' in parsed || parsed.value === undefined) return parsed
  const wrong = spec.validate?.(parsed.value as never)
  if (wrong === undefined) return parsed
  return { problem: `expected ${withoutSecret(wrong, node, spec, parsed.value)}, got ${shownOf(node, spec)}` }
}

/** Words that complete "expected …". */
export function expectation(spec: OptionSpec): string {
  switch (spec.type) {
    case 'enum':
      return `one of ${spec.values.join(', ')}`
    case 'boolean':
      return 'true or false'
    case 'integer':
      return `a whole number${range(spec.min, spec.max)}`
    case 'number':
      return `a number${range(spec.min, spec.max)}`
    case 'duration':
      return `milliseconds or a duration such as 500ms, 10m or 7d${range(limit(spec), spec.max)}${orNone(spec.unset)}`
    case 'bytes':
      return `bytes or a size such as 512KiB or 64MB${range(limit(spec), spec.max)}${orNone(spec.unset)}`
    case 'list':
      return spec.nonEmpty === true ? 'a list of at least one' : 'a list'
    case 'path':
      return 'a path'
    case 'secret':
      return 'a secret text'
    case 'string':
      return 'text'
    case 'family':
      return expectation(spec.member)
  }
}

function parseSingle(node: FlatOption['value'], spec: OptionSpec, context: ValueContext): Parsed {
  if (node.kind !== 'scalar') {
    const source = 'source' in node && !node.source.includes('\n') ? node.source : undefined
    const quote = spec.type === 'string' && source !== undefined ? `; quote this: ${JSON.stringify(source)}` : ''
    return { problem: `expected ${expectation(spec)}, got ${describeNode(node)}${quote}` }
  }
  const text = textOf(node, spec, context)
  return 'problem' in text ? text : parseText(text, spec, context)
}

function parseText(text: Text, spec: OptionSpec, context: ValueContext): Parsed {
  const { value, hint } = readText(text, spec, context)
  if (value !== undefined) return { value }
  return {
    problem: `expected ${expectation(spec)}, got ${spec.type === 'secret' ? '[hidden]' : text.shown}${hint ?? ''}`,
  }
}

function readText(text: Text, spec: OptionSpec, context: ValueContext): { value: OptionValue; hint?: string } {
  // ConfigDef.parseType trims all of them; a text keeps its blanks here, since somebody quoted them.
  const trimmed = text.text.trim()
  switch (spec.type) {
    case 'string':
      return { value: spec.resolve === true ? resolveDotted(text.text, context.folder) : text.text }
    case 'secret':
      return { value: text.text }
    case 'path':
      return { value: trimmed === '' ? undefined : resolve(context.folder, trimmed) }
    case 'boolean':
      return { value: /^true$/i.test(trimmed) ? true : /^false$/i.test(trimmed) ? false : undefined }
    case 'enum':
      return readEnum(text, trimmed, spec)
    case 'integer':
      return readInteger(text, trimmed, spec)
    case 'number':
      return {
        value: inRange(/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed) ? Number(trimmed) : undefined, spec),
      }
    case 'duration':
      return { value: isNone(trimmed, spec.unset) ? -1 : inRange(parseDuration(trimmed), spec) }
    case 'bytes':
      return { value: isNone(trimmed, spec.unset) ? -1 : inRange(parseSize(trimmed), spec) }
    case 'list':
    case 'family':
      return { value: undefined }
  }
}

function readEnum(text: Text, trimmed: string, { values, ignoreCase }: Extract<OptionSpec, { type: 'enum' }>) {
  const folded = (value: string) => (ignoreCase === true ? value.toLowerCase() : value)
  const value = values.find(candidate => folded(candidate) === folded(trimmed))
  return value === undefined ? { value, hint: text.plain ? didYouMean(trimmed, values) : '' } : { value }
}

function readInteger(text: Text, trimmed: string, spec: { readonly min?: number; readonly max?: number }) {
  if (!/^[-+]?\d+$/.test(trimmed)) return { value: undefined }
  if (text.plain && /^[-+]?0\d/.test(trimmed)) {
    return { value: undefined, hint: ', which some take for octal; write it without leading zeros' }
  }
  const value = Number(trimmed)
  if (!Number.isSafeInteger(value)) return { value: undefined, hint: ', which is past 2^53 and would be rounded' }
  return { value: inRange(value, spec) }
}

function inRange(
  value: number | undefined,
  spec: { readonly min?: number; readonly max?: number },
): number | undefined {
  if (value === undefined || !Number.isFinite(value)) return undefined
  return value >= (spec.min ?? Number.NEGATIVE_INFINITY) && value <= (spec.max ?? Number.POSITIVE_INFINITY)
    ? value
    : undefined
}

function parseList(
  node: FlatOption['value'],
  spec: Extract<OptionSpec, { type: 'list' }>,
  context: ValueContext,
): Parsed {
  const texts: string[] = []
  const items = node.kind === 'list' ? node.items : [node]
  for (const [i, item] of items.entries()) {
    if (item.kind === 'empty' && item.broken === true) return { value: undefined }
    if (item.kind !== 'scalar') return { problem: `expected text in position ${i + 1}, got ${describeNode(item)}` }
    const text = textOf(item, spec, context)
    if ('problem' in text) return text
    // One text is Connect's list: separated by commas, none when empty.
    if (node.kind === 'list') texts.push(text.text)
    else if (text.text.trim() !== '') texts.push(...text.text.trim().split(/\s*,\s*/))
  }
  if (texts.length === 0 && spec.nonEmpty === true) return { problem: `expected ${expectation(spec)}, got none` }
  const blank = texts.findIndex(text => text.trim() === '')
  if (blank >= 0) return { problem: `expected text in position ${blank + 1}, got nothing` }
  return { value: spec.paths === true ? texts.map(text => resolve(context.folder, text)) : texts }
}

function textOf(node: ScalarNode, spec: OptionSpec, context: ValueContext): Text | { readonly problem: string } {
  const shown = quoted(node.text)
  if (spec.type === 'string' && spec.literal === true) return { text: node.text, shown, plain: node.plain }
  const resolved = context.resolve(node.text, spec.type === 'secret')
  if ('problem' in resolved) return resolved
  return { text: resolved.text, shown, plain: node.plain && !resolved.referred }
}

/** `./exports` and `../exports` are paths; anything else, a URL above all, stays as it is. */
function resolveDotted(text: string, folder: string): string {
  return /^\.\.?(\/|$)/.test(text) ? resolve(folder, text) : text
}

/** A validator's words may repeat the value; not where it came from a secret or a reference. */
function withoutSecret(words: string, node: FlatOption['value'], spec: OptionSpec, value: OptionValue): string {
  const hidden = spec.type === 'secret' || (node.kind === 'scalar' && node.text.includes('${'))
  return hidden && typeof value === 'string' && value !== '' ? words.replaceAll(value, '[hidden]') : words
}

function shownOf(node: FlatOption['value'], spec: OptionSpec): string {
  if (spec.type === 'secret') return '[hidden]'
  if (node.kind === 'scalar') return quoted(node.text)
  return node.kind === 'list' ? node.items.map(i => (i.kind === 'scalar' ? quoted(i.text) : '…')).join(', ') : 'nothing'
}

function isNone(text: string, unset: boolean | undefined): boolean {
  return unset === true && (text === '-1' || text === 'none')
}

/** The lower limit worth telling: -1 is told as "none". */
function limit(spec: { readonly min?: number; readonly unset?: boolean }): number | undefined {
  return spec.unset === true && spec.min === -1 ? undefined : spec.min
}

function orNone(unset: boolean | undefined): string {
  return unset === true ? ', or -1 for none' : ''
}

function range(min: number | undefined, max: number | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` of at least ${min}`
  return max === undefined ? '' : ` of at most ${max}`
}
