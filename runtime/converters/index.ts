import { type Converter, KtsError } from '../api/index.ts'
import { bytesConverter } from './bytes.ts'
import { jsonConverter } from './json.ts'
import { CONNECT_DEFAULTS, type JsonSettings, OUR_DEFAULTS } from './json-settings.ts'
import { stringConverter } from './string.ts'

export type { JsonSettings } from './json-settings.ts'

type Make = (settings: JsonSettings) => Converter

/** The converters by short name, each with its well-known Java class. */
const CONVERTERS: ReadonlyMap<string, Make> = new Map<string, Make>([
  ['bytes', () => bytesConverter],
  ['org.apache.kafka.connect.converters.ByteArrayConverter', () => bytesConverter],
  ['string', () => stringConverter],
  ['org.apache.kafka.connect.storage.StringConverter', () => stringConverter],
  ['json', settings => jsonConverter({ ...OUR_DEFAULTS, ...given(settings) })],
  [
    'org.apache.kafka.connect.json.JsonConverter',
    settings => jsonConverter({ ...CONNECT_DEFAULTS, ...given(settings) }),
  ],
])

/** Names for validation and docs. */
export const CONVERTER_NAMES: readonly string[] = [...CONVERTERS.keys()]

/** Throws CONFIG_INVALID for a name that none has. Settings are those of JSON; others take no notice of them. */
export function converterNamed(name: string, settings: JsonSettings = {}): Converter {
  const make = CONVERTERS.get(name)
  if (make !== undefined) return make(settings)
  throw new KtsError('CONFIG_INVALID', `converter ${name}: expected one of ${CONVERTER_NAMES.join(', ')}`)
}

function given(settings: JsonSettings) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
}
