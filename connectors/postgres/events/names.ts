import type { EventOptions } from '../event-options.ts'

export type AdjustmentMode = EventOptions['schema.name.adjustment.mode']

/** Names of topics; what Kafka does not allow in one becomes `_`, for each UTF-16 unit. */
export class TopicNames {
  readonly transaction: string
  readonly message: string
  readonly heartbeat: string
  readonly #prefix: string
  readonly #delimiter: string

  constructor(options: EventOptions) {
    this.#prefix = options['topic.prefix']
    this.#delimiter = options['topic.delimiter']
    this.transaction = this.#join(this.#prefix, options['topic.transaction'])
    const heartbeat = options['topic.heartbeat.name'] ?? ''
    this.heartbeat =
      heartbeat === '' ? this.#join(options['topic.heartbeat.prefix'], this.#prefix) : this.#join(heartbeat)
    // Not with the delimiter, as Debezium.
    this.message = `${this.#prefix}.message`
  }

  table(schema: string, table: string): string {
    return this.#join(this.#prefix, schema, table)
  }

  #join(...parts: readonly string[]): string {
    return parts.join(this.#delimiter).replace(/[^a-zA-Z0-9._-]/g, '_')
  }
}

/** A full name of a schema, fit for Avro where that is asked for (Debezium's SchemaNameAdjuster). */
export function adjustedSchemaName(name: string, mode: AdjustmentMode): string {
  return adjusted(name, mode, /[a-zA-Z0-9_.]/)
}

/** The name of a column as that of a field. */
export function adjustedFieldName(name: string, mode: AdjustmentMode): string {
  return adjusted(name, mode, /[a-zA-Z0-9_]/)
}

function adjusted(name: string, mode: AdjustmentMode, allowed: RegExp): string {
  if (mode === 'none') return name
  return Array.from({ length: name.length }, (_, i) => {
    const unit = name[i]!
    if (mode === 'avro') {
      if (i === 0 && /[0-9]/.test(unit)) return `_${unit}`
      return allowed.test(unit) && !(i === 0 && unit === '.') ? unit : '_'
    }
    // `_` begins an escape here, so it is one itself.
    const plain = i === 0 ? /[a-zA-Z]/.test(unit) : allowed.test(unit) && unit !== '_'
    return plain ? unit : `_u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  }).join('')
}
