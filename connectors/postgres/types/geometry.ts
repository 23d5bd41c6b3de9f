import { jsonOf } from '../../../runtime/api/index.ts'
import { type Form, schemaOf, type TypeSettings, unreadable } from './form.ts'

const WKB = { name: 'wkb', schema: schemaOf('BYTES') }
const OPTIONAL_WKB = { name: 'wkb', schema: { ...WKB.schema, optional: true } }
const SRID = { name: 'srid', schema: { ...schemaOf('INT32'), optional: true } }
/** In the type of a geometry of PostGIS: that an SRID follows. */
const HAS_SRID = 0x20000000
const EMPTY_COLLECTION = Buffer.from('010700000000000000', 'hex')

/** point: struct of coordinates and well-known binary. */
export function point(): Form {
  const schema = schemaOf('STRUCT', 'io.debezium.data.geometry.Point', {
    doc: 'Geometry (POINT)',
    fields: [
      { name: 'x', schema: schemaOf('FLOAT64') },
      { name: 'y', schema: schemaOf('FLOAT64') },
      OPTIONAL_WKB,
      SRID,
    ],
  })
  const form = struct(
    schema,
    (bytes, start, end) => {
      const parts = /^\(([^,]+),([^,]+)\)$/.exec(bytes.toString('latin1', start, end))
      if (parts === null) throw unreadable('a point', bytes, start, end)
      return pointValue(Number(parts[1]), Number(parts[2]))
    },
    (bytes, start) => pointValue(bytes.readDoubleBE(start), bytes.readDoubleBE(start + 8)),
  )
  return { ...form, zero: pointValue(0, 0), unavailable: pointValue(Number.NaN, Number.NaN) }
}

function pointValue(x: number, y: number): unknown {
  const wkb = Buffer.alloc(21)
  wkb[0] = 1
  wkb[1] = 1
  wkb.writeDoubleLE(x, 5)
  wkb.writeDoubleLE(y, 13)
  return [x, y, wkb, null]
}

/** geometry and geography of PostGIS: its extended well-known binary and the SRID in it. */
export function postgis(name: 'Geometry' | 'Geography', settings: TypeSettings): Form {
  const schema = schemaOf('STRUCT', `io.debezium.data.geometry.${name}`, { doc: name, fields: [WKB, SRID] })
  const form = struct(
    schema,
    (bytes, start, end) => {
      const wkb = Buffer.from(bytes.toString('latin1', start, end), 'hex')
      if (wkb.length < 5 || wkb.length * 2 !== end - start) throw unreadable('well-known binary', bytes, start, end)
      return [wkb, sridOf(wkb)]
    },
    (bytes, start, end) => {
      const wkb = Buffer.from(bytes.subarray(start, end))
      return [wkb, sridOf(wkb)]
    },
  )
  return { ...form, zero: [EMPTY_COLLECTION, null], unavailable: [settings.placeholder.bytes, null] }
}

function sridOf(wkb: Buffer): number | null {
  const little = wkb[0] === 1
  const type = little ? wkb.readUInt32LE(1) : wkb.readUInt32BE(1)
  if ((type & HAS_SRID) === 0) return null
  return little ? wkb.readInt32LE(5) : wkb.readInt32BE(5)
}

type Read = (bytes: Buffer, start: number, end: number) => unknown

function struct(schema: Form['schema'], ofText: Read, ofBinary: Read): Omit<Form, 'zero' | 'unavailable'> {
  return {
    schema,
    valueOfText: ofText,
    writeText: (bytes, start, end, into) => into.text(jsonOf(schema, ofText(bytes, start, end))),
    valueOfBinary: ofBinary,
    writeBinary: (bytes, start, end, into) => into.text(jsonOf(schema, ofBinary(bytes, start, end))),
  }
}
