import { isInteger, parse as parseLossless, stringify as stringifyLossless } from 'lossless-json'

export type JsonValue = string | number | bigint | boolean | null | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

// An integer past 2^53, or nearly: anywhere; and as a token of its own.
const LONG_INTEGER = /[1-9]\d{16}|9\d{15}/
const LONG_TOKENS = /(?<![^:,[ \t\n\r])-?(?:[1-9]\d{16,}|9\d{15})(?=[ \t\n\r]*(?:[,\]}]|$))/g

/** Begins the string that stands for a long integer until the text is parsed. */
const MARK = '\\u0000'

// Jackson's limit, and so Kafka Connect's. JSON.parse reads deeper than JSON.stringify can write before its stack is full.
const DEPTH_MAX = 1000

/**
 * JSON without loss: integers past 2^53 become `bigint`, everything else is JSON.parse. A member called `__proto__` is an
 * own property, as JSON.parse makes it. Throws SyntaxError, and RangeError for nesting so deep that it could not be written.
 */
export function parseJson(text: string): JsonValue {
  // Every level takes an opening and a closing character.
  if (text.length > 2 * DEPTH_MAX) checkDepth(text)
  if (!LONG_INTEGER.test(text)) return JSON.parse(text) as JsonValue
  if (!text.includes(MARK)) {
    const marked = text.replace(LONG_TOKENS, `"${MARK}$&"`)
    try {
      const value = JSON.parse(marked) as JsonValue
      return marked.length === text.length ? value : unmarked(value)
    } catch {
      // What looks like an integer lies in a string, which the mark's quote has ended before its backslash; or it is no JSON.
    }
  }
  return parseLossless(text, undefined, {
    parseNumber: losslessNumber,
    onDuplicateKey: ({ newValue }) => newValue,
  }) as JsonValue
}

/** With integers in place of their marked strings. */
function unmarked(value: JsonValue): JsonValue {
  if (typeof value === 'string') return value.charCodeAt(0) === 0 ? losslessNumber(value.slice(1)) : value
  if (typeof value !== 'object' || value === null) return value
  // Arrays too: their keys are their indexes.
  const members = value as Record<string, JsonValue>
  for (const key in members) {
    const member = members[key]!
    if (typeof member === 'string' ? member.charCodeAt(0) === 0 : typeof member === 'object')
      members[key] = unmarked(member)
  }
  return value
}

/** A number that is no integer, as it was written: `123.40`. */
export class JsonFraction {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** As parseJson, but every number that is no integer is a JsonFraction: for decimals, whose digits all count. Slower. */
export function parseJsonExact(text: string): unknown {
  if (text.length > 2 * DEPTH_MAX) checkDepth(text)
  return parseLossless(text, undefined, token => (isInteger(token) ? losslessNumber(token) : new JsonFraction(token)))
}

function checkDepth(text: string): void {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === BACKSLASH) i++
    else if (code === QUOTE) inString = !inString
    else if (inString) continue
    else if (code === BRACE || code === BRACKET) {
      if (++depth > DEPTH_MAX) throw new RangeError(`JSON is nested more than ${DEPTH_MAX} levels deep`)
    } else if (code === BRACE_END || code === BRACKET_END) depth--
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET = 0x5b
const BRACKET_END = 0x5d
const BRACE = 0x7b
const BRACE_END = 0x7d

function losslessNumber(token: string): number | bigint {
  const value = Number(token)
  return Number.isSafeInteger(value) || !isInteger(token) ? value : BigInt(token)
}

/** The inverse of parseJson: a bigint is written as an integer. Throws TypeError for what JSON cannot say. */
export function stringifyJson(value: unknown): string {
  try {
    const text = JSON.stringify(value)
    if (text === undefined) throw new TypeError(`JSON cannot express ${typeof value}`)
    return text
  } catch (error) {
    // Only a bigint brings us here: the common case pays nothing for it.
    if (!(error instanceof TypeError) || !/BigInt/.test(error.message)) throw error
    const text = stringifyLossless(value)
    if (text === undefined) throw error
    return text
  }
}
