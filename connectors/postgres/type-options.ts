import { defineOptions } from '../../runtime/api/index.ts'

/** How values of the server's types become values of events. */
export const TYPE_OPTIONS = defineOptions({
  'decimal.handling.mode': {
    type: 'enum',
    ignoreCase: true,
    values: ['precise', 'double', 'string'],
    default: 'precise',
    doc: "How numeric and money are given: as Connect's Decimal without loss (NaN and infinities are null), as a double (digits may be lost), or as the server's text.",
    group: 'types',
  },
  'time.precision.mode': {
    type: 'enum',
    ignoreCase: true,
    values: ['adaptive', 'adaptive_time_microseconds', 'connect', 'isostring', 'microseconds', 'nanoseconds'],
    default: 'adaptive',
    doc: "The unit of date, time and timestamp: by the column's precision (milliseconds up to 3 digits, else microseconds), the same with time always in microseconds, Connect's own logical types in milliseconds, ISO 8601 text, or always microseconds or nanoseconds. Types with a time zone are always ISO text.",
    group: 'types',
  },
  'interval.handling.mode': {
    type: 'enum',
    ignoreCase: true,
    values: ['numeric', 'string'],
    default: 'numeric',
    doc: 'Intervals as microseconds, a month being 30.4375 days, or without loss as text such as P1Y2M3DT4H5M6.78S.',
    group: 'types',
  },
  'hstore.handling.mode': {
    type: 'enum',
    ignoreCase: true,
    values: ['json', 'map'],
    default: 'json',
    doc: 'Values of hstore as the text of a JSON object, or as a map of strings.',
    group: 'types',
  },
  'binary.handling.mode': {
    type: 'enum',
    ignoreCase: true,
    values: ['bytes', 'base64', 'base64-url-safe', 'hex'],
    default: 'bytes',
    doc: 'Values of bytea as bytes (which JSON writes in base64), or as text in base64, base64url or hexadecimal.',
    group: 'types',
  },
  'money.fraction.digits': {
    type: 'integer',
    min: 0,
    max: 18,
    default: 2,
    doc: 'Digits behind the point that values of type money are given with.',
    group: 'types',
    importance: 'low',
  },
  'include.unknown.datatypes': {
    type: 'boolean',
    default: true,
    doc: "Columns of types that Debezium has no form for (composites, multiranges, tsquery, extensions' types) are given as the server's text; false leaves them out.",
    group: 'types',
  },
  'unavailable.value.placeholder': {
    type: 'string',
    default: '__debezium_unavailable_value',
    literal: true,
    doc: 'Stands for a large value (TOAST) that an update did not change and the server therefore did not send. With hex: in front it is read as bytes in hexadecimal.',
    group: 'types',
    importance: 'low',
  },
})
