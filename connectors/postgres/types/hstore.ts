import { jsonOf } from '../../../runtime/api/index.ts'
import { type Form, schemaOf, type TypeSettings, unreadable } from './form.ts'

const MAP = schemaOf('MAP', undefined, {
  keySchema: schemaOf('STRING'),
  valueSchema: { ...schemaOf('STRING'), optional: true },
})
const PAIR = /"((?:[^"\\]|\\.)*)"=>(?:NULL|"((?:[^"\\]|\\.)*)")(?:, |$)/gsy

/** hstore of the extension, as the text of a JSON object or as a map (`hstore.handling.mode`). */
export function hstore(settings: TypeSettings): Form {
  const { text } = settings.placeholder
  const asMap = settings.hstore === 'map'
  const schema = asMap ? MAP : schemaOf('STRING', 'io.debezium.data.Json')
  const valueFrom = (pairs: Map<string, string | null>) => (asMap ? pairs : jsonText(pairs))
  const ofText = (bytes: Buffer, start: number, end: number) => valueFrom(pairsOfText(bytes, start, end))
  const ofBinary = (bytes: Buffer, start: number, end: number) => valueFrom(pairsOfBinary(bytes, start, end))
  return {
    schema,
    valueOfText: ofText,
    writeText: (bytes, start, end, into) => into.text(jsonOf(schema, ofText(bytes, start, end))),
    valueOfBinary: ofBinary,
    writeBinary: (bytes, start, end, into) => into.text(jsonOf(schema, ofBinary(bytes, start, end))),
    zero: asMap ? new Map() : '{}',
    unavailable: asMap ? new Map([[text, text]]) : text,
  }
}

/** In the server's order; not JSON.stringify of an object, which puts names that are numbers first. */
function jsonText(pairs: Map<string, string | null>): string {
  const members: string[] = []
  for (const [key, value] of pairs) members.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`)
  return `{${members.join(',')}}`
}

/** `"a"=>NULL, "b c"=>"d\"e"`. */
function pairsOfText(bytes: Buffer, start: number, end: number): Map<string, string | null> {
  const text = bytes.toString('utf8', start, end)
  const pairs = new Map<string, string | null>()
  PAIR.lastIndex = 0
  let behind = 0
  for (let pair = PAIR.exec(text); pair !== null && pair[0] !== ''; pair = PAIR.exec(text)) {
    behind = PAIR.lastIndex
    pairs.set(plain(pair[1]!), pair[2] === undefined ? null : plain(pair[2]))
    if (behind === text.length) break
  }
  if (behind !== text.length) throw unreadable('an hstore', bytes, start, end)
  return pairs
}

function plain(quoted: string): string {
  return quoted.replace(/\\(.)/gs, '$1')
}

/** The number of pairs, then the length and text of each key and value; a value of length -1 is NULL. */
function pairsOfBinary(bytes: Buffer, start: number, end: number): Map<string, string | null> {
  const pairs = new Map<string, string | null>()
  let at = start + 4
  const next = () => {
    const size = bytes.readInt32BE(at)
    at += 4
    if (size < 0) return null
    at += size
    if (at > end) throw unreadable('an hstore', bytes, start, end)
    return bytes.toString('utf8', at - size, at)
  }
  for (let left = bytes.readInt32BE(start); left > 0; left--) {
    const key = next() ?? ''
    pairs.set(key, next())
  }
  return pairs
}
