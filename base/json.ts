import { isInteger, parse as parseLossless, stringify as stringifyLossless } from 'lossless-json'

export type JsonValue = string | number | bigint | boolean | null | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

// A number token that may not fit a double: 16 digits or more, with or without a point.
const LONG_NUMBER = /\d[\d.]{15}/

/**
 * JSON without loss: integers past 2^53 become `bigint`, everything else is JSON.parse. A member called `__proto__` is an
 * own property, as JSON.parse makes it. Throws SyntaxError.
 */
export function parseJson(text: string): JsonValue {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text) as JsonValue
  return parseLossless(text, undefined, losslessNumber) as JsonValue
}

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
