import { RecordError } from '../../api/index.ts'
import { type ChangeShape, DELETED, NAME, type RowAdditions, type Side, type Typed } from './change.ts'
import type { FieldReference } from './field-reference.ts'
import { takenName } from './schema-shape.ts'

type Members = Record<string, unknown>

/** Events without schema: what the JSON converter reads, and what change capture packs. */
export class PlainShape implements ChangeShape {
  readonly #additions: RowAdditions

  constructor(additions: RowAdditions) {
    this.#additions = additions
  }

  /** No schema says its name, so an envelope is known by what every one of them has. */
  static isChange(value: unknown): boolean {
    if (!isMembers(value)) return false
    return (
      typeof own(value, 'op') === 'string' &&
      isMembers(own(value, 'source')) &&
      Object.hasOwn(value, 'ts_ms') &&
      isRow(own(value, 'after')) &&
      isRow(own(value, 'before') ?? null)
    )
  }

  operation(event: unknown): unknown {
    return (event as Members).op
  }

  row(event: unknown, side: Side): unknown {
    return own(event as Members, side) ?? null
  }

  emptyRow(): Typed {
    return { value: null, schema: undefined }
  }

  /** The row itself, which nobody else has. */
  flatten(event: unknown, side: Side): Typed {
    const row = this.row(event, side) as Members
    if (this.#additions.marksDeletes) add(row, DELETED, side === 'before' ? 'true' : 'false')
    for (const reference of this.#additions.references) {
      const found = this.read(event, reference)
      if (found !== undefined) add(row, reference.target, found.value)
    }
    return { value: row, schema: undefined }
  }

  route(row: unknown, _side: Side, column: string): string | undefined {
    if (!Object.hasOwn(row as Members, column)) {
      throw new RecordError(`${NAME}: route.by.field: ${column} is not a valid field name`)
    }
    const topic = (row as Members)[column]
    if (topic === null || typeof topic === 'string') return topic ?? undefined
    throw new RecordError(`${NAME}: route.by.field: Field '${column}' is not of type STRING`)
  }

  /** Objects are copied: the row they may be grows. */
  read(event: unknown, { parent, field }: FieldReference): Typed | undefined {
    const members = event as Members
    const holder = parent === undefined ? undefined : own(members, parent)
    const inside = isMembers(holder) && Object.hasOwn(holder, field)
    if (holder !== null && !inside && !Object.hasOwn(members, field)) return undefined
    const value = inside ? holder[field] : (own(members, field) ?? null)
    return { value: isMembers(value) ? { ...value } : value, schema: undefined }
  }
}

function add(row: Members, name: string, value: unknown): void {
  if (Object.hasOwn(row, name)) throw takenName(name)
  row[name] = value
}

function own(members: Members, name: string): unknown {
  return Object.hasOwn(members, name) ? members[name] : undefined
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function isRow(value: unknown): boolean {
  return value === null || isMembers(value)
}
