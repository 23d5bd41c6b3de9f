/**
 * A place of a row in its file as one number, so that parts of a table are spans of numbers: block * 2048 + line pointer.
 * A page of 32 KiB, the largest there are, holds 1,168 rows at most.
 */
export type Place = number

export const PLACES_PER_BLOCK = 2048

export function tidOf(place: Place): string {
  return `(${Math.floor(place / PLACES_PER_BLOCK)},${place % PLACES_PER_BLOCK})`
}

/** The condition for rows in [from, to): a TID range scan, which PostgreSQL 14 has. `to` undefined: to the end. */
export function placesBetween(from: Place, to: Place | undefined): string {
  const lower = `ctid >= '${tidOf(from)}'::tid`
  return to === undefined ? lower : `${lower} AND ctid < '${tidOf(to)}'::tid`
}
