import type { JsonObject, JsonValue } from '../../runtime/api/index.ts'

/**
 * An object whose cut is decided: the records of `folder` from the first to the last offset, under this key. It is durable
 * before the object can be seen, so whatever happens then, these records go to this object and to no other.
 */
export interface ObjectPlan {
  /** `<topic as routed>/<encoded partition>` */
  readonly folder: string
  readonly key: string
  readonly firstOffset: number
  /** The object's own last record, not where the next one begins. */
  readonly lastOffset: number
  /** Records in the object. */
  readonly count: number
}

export function planToJson({ folder, key, firstOffset, lastOffset, count }: ObjectPlan): JsonObject {
  return { folder, key, first: firstOffset, last: lastOffset, count }
}

/** The inverse of planToJson; undefined for anything else. */
export function planFromJson(json: JsonValue): ObjectPlan | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const { folder, key, first, last, count } = json as JsonObject
  if (typeof folder !== 'string' || typeof key !== 'string') return undefined
  if (!isOffset(first) || !isOffset(last) || !isOffset(count)) return undefined
  return { folder, key, firstOffset: first, lastOffset: last, count }
}

export function isOffset(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
