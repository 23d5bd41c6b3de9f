import { isInteger, parse as parseLossless, stringify as stringifyLossless } from 'lossless-json'

export type JsonValue = string | number | bigint | boolean | null | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

// A number token that may not fit a double: 16 digits or more, with or without a point.
const LONG_NUMBER = /\d[\d.]{15}/

// Jackson's limit, and so Kafka Connect's. JSON.parse reads deeper than JSON.stringify can write before its stack is full.
const DEPTH_MAX = 1000

/**
 * JSON without loss: integers past 2^53 become `bigint`, everything else is JSON.parse. A member called `__proto__` is an
 * own property, as JSON.parse makes it. Throws SyntaxError, and RangeError for nesting so deep that it could not be written.
 */
export function parseJson(text: string): JsonValue {
  // Every level takes an opening and a closing character.
  if (text.length > 2 * DEPTH_MAX) checkDepth(text)
  if (!LONG_NUMBER.test(text)) return JSON.parse(text) as JsonValue
  return parseLossless(text, undefined, losslessNumber) as JsonValue
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
  if (isInteger(token)) {
    const value = BigInt(token)
    const small = Number(value)
    return Number.isSafeInteger(small) ? small : value
  }
  return Number(token)
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
