import { type Converter, KtsError } from '../api/index.ts'
import { bytesConverter } from './bytes.ts'
import { jsonConverter } from './json.ts'
import { stringConverter } from './string.ts'

/** The converters by short name, each with its well-known Java class. */
const CONVERTERS: ReadonlyMap<string, Converter> = new Map([
  ['bytes', bytesConverter],
  ['org.apache.kafka.connect.converters.ByteArrayConverter', bytesConverter],
  ['string', stringConverter],
  ['org.apache.kafka.connect.storage.StringConverter', stringConverter],
  ['json', jsonConverter],
  ['org.apache.kafka.connect.json.JsonConverter', jsonConverter],
])

/** Names for validation and docs. */
export const CONVERTER_NAMES: readonly string[] = [...CONVERTERS.keys()]

export function converterNamed(name: string): Converter {
  const converter = CONVERTERS.get(name)
  if (converter !== undefined) return converter
  throw new KtsError('CONFIG_INVALID', `converter ${name}: expected one of ${CONVERTER_NAMES.join(', ')}`)
}
