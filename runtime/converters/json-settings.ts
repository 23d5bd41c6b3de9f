/** What the JSON converter can be told, by Connect's names (JsonConverterConfig). */
export interface JsonSettings {
  readonly 'schemas.enable'?: boolean | undefined
  readonly 'replace.null.with.default'?: boolean | undefined
  readonly 'decimal.format'?: 'BASE64' | 'NUMERIC' | undefined
  readonly 'schemas.cache.size'?: number | undefined
}

export type CompleteJsonSettings = { readonly [K in keyof JsonSettings]-?: Exclude<JsonSettings[K], undefined> }

/** Of `json`: nothing that is not in the record, and a null stays one. */
export const OUR_DEFAULTS: CompleteJsonSettings = {
  'schemas.enable': false,
  'replace.null.with.default': false,
  'decimal.format': 'BASE64',
  'schemas.cache.size': 1000,
}

/** Of `org.apache.kafka.connect.json.JsonConverter`: those that a pasted configuration was written for. */
export const CONNECT_DEFAULTS: CompleteJsonSettings = {
  ...OUR_DEFAULTS,
  'schemas.enable': true,
  'replace.null.with.default': true,
}
