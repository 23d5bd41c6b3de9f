import type { Logger, OptionValues, Schema } from '../../../runtime/api/index.ts'
import type { ColumnCodec } from '../column-codec.ts'
import type { ColumnInfo, Types } from '../table-info.ts'
import type { TYPE_OPTIONS } from '../type-options.ts'
import { defaultValue } from './defaults.ts'
import type { Form, TypeSettings } from './form.ts'
import { typeForm } from './type-forms.ts'

type TypeOptions = OptionValues<typeof TYPE_OPTIONS>

/** `n` of null. */
const N = 0x6e

const settingsByOptions = new WeakMap<TypeOptions, TypeSettings>()
const warned = new WeakMap<Logger, Set<string>>()

/**
 * The way of one column's values into events. Undefined: the column is left out. Warns once per type that has no form of
 * its own, and once per column when it has a value that its form cannot say.
 */
export function columnCodec(
  column: ColumnInfo,
  types: Types,
  options: TypeOptions,
  log: Logger,
): ColumnCodec | undefined {
  const settings = settingsOf(options)
  const found = typeForm(column.typeOid, column.typeModifier, column.dimensions ?? 1, types, settings)
  const { unknown, shownAsText } = found
  const leftOut = unknown && !options['include.unknown.datatypes']
  if (leftOut || shownAsText !== undefined) {
    const name = shownAsText ?? types.get(column.typeOid)?.name ?? ''
    warnOnce(
      log,
      name,
      leftOut
        ? `Columns of type ${name} are left out (include.unknown.datatypes)`
        : `Values of type ${name} are given as the server's text: it has no form of its own`,
    )
  }
  return leftOut ? undefined : ofColumn(column, found.form, log)
}

function ofColumn(column: ColumnInfo, form: Form, log: Logger): ColumnCodec {
  const preset = defaultValue(column.default, form)
  let optional = !column.notNull
  let base = form.schema
  let schema = finished(base, optional, preset)
  let told = false
  const unsaid = () => {
    if (!optional) {
      optional = true
      schema = finished(base, optional, preset)
    }
    if (!told)
      log.warn({}, `Column ${column.name} has a value that is given as null: its form cannot say ${form.lacks}`)
    told = true
  }
  const partial = form.lacks !== undefined
  const { valueOfBinary, writeBinary } = form
  return {
    get schema(): Schema {
      if (base !== form.schema) {
        base = form.schema
        schema = finished(base, optional, preset)
      }
      return schema
    },
    evolves: form.evolves === true || (partial && column.notNull),
    valueOfText: partial ? noticingNull(form.valueOfText, unsaid) : form.valueOfText,
    writeText: partial ? noticingWritten(form.writeText, unsaid) : form.writeText,
    ...(valueOfBinary && { valueOfBinary: partial ? noticingNull(valueOfBinary, unsaid) : valueOfBinary }),
    ...(writeBinary && { writeBinary: partial ? noticingWritten(writeBinary, unsaid) : writeBinary }),
    get unavailable() {
      return form.unavailable
    },
    absent: column.notNull ? (preset ?? form.zero) : null,
  }
}

function noticingNull(read: Form['valueOfText'], unsaid: () => void): Form['valueOfText'] {
  return (bytes, start, end) => {
    const value = read(bytes, start, end)
    if (value === null) unsaid()
    return value
  }
}

function noticingWritten(write: Form['writeText'], unsaid: () => void): Form['writeText'] {
  return (bytes, start, end, into) => {
    const at = into.length
    write(bytes, start, end, into)
    if (into.bytes[at] === N) unsaid()
  }
}

function finished(schema: Schema, optional: boolean, preset: unknown): Schema {
  return { ...schema, optional, ...(preset === undefined ? {} : { default: preset }) }
}

function warnOnce(log: Logger, about: string, message: string): void {
  let told = warned.get(log)
  if (told === undefined) {
    told = new Set()
    warned.set(log, told)
  }
  if (told.has(about)) return
  told.add(about)
  log.warn({}, message)
}

function settingsOf(options: TypeOptions): TypeSettings {
  let settings = settingsByOptions.get(options)
  if (settings === undefined) {
    const bytes = placeholderOf(options['unavailable.value.placeholder'])
    settings = {
      decimals: options['decimal.handling.mode'],
      times: options['time.precision.mode'],
      intervals: options['interval.handling.mode'],
      hstore: options['hstore.handling.mode'],
      binary: options['binary.handling.mode'],
      moneyDigits: options['money.fraction.digits'],
      placeholder: { text: bytes.toString(), bytes },
    }
    settingsByOptions.set(options, settings)
  }
  return settings
}

function placeholderOf(text: string): Buffer {
  return text.startsWith('hex:') ? Buffer.from(text.slice(4), 'hex') : Buffer.from(text)
}
