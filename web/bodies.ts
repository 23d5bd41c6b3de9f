import { HttpError, httpMessage } from './errors.ts'

/** 400, in words that complete the answer's message. */
export function badBody(what: string): HttpError {
  return new HttpError(400, `${httpMessage(400)}: ${what}`)
}

/** A body that is a JSON object with no other members than these. */
export function objectBody<N extends string>(body: unknown, names: readonly N[]): { readonly [K in N]?: unknown } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw badBody('send a JSON object')
  const other = Object.keys(body).find(name => !names.some(known => known === name))
  if (other !== undefined) throw badBody(`unknown ${JSON.stringify(other)}, expected ${names.join(', ')}`)
  return body as { readonly [K in N]?: unknown }
}
