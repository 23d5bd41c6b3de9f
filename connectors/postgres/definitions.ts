import type { Relation } from './relation.ts'

/** A table as one message described it. */
export interface Definition {
  readonly relation: Relation
  /** Counts the messages in their order of arrival. */
  readonly arrival: number
}

/** The tables that a transaction knows of, by OID. */
export class Definitions {
  readonly #byOid: Map<number, Definition>

  constructor(from?: Definitions) {
    this.#byOid = new Map(from === undefined ? [] : from.#byOid)
  }

  get(oid: number): Definition | undefined {
    return this.#byOid.get(oid)
  }

  set(definition: Definition): void {
    this.#byOid.set(definition.relation.oid, definition)
  }

  /**
   * What a streamed transaction described counts for all once it is committed: the server does not say it again. But where
   * another message has come since, the server means that one.
   */
  merge(other: Definitions): void {
    for (const [oid, definition] of other.#byOid) {
      const known = this.#byOid.get(oid)
      if (known === undefined || known.arrival < definition.arrival) this.#byOid.set(oid, definition)
    }
  }
}
