import type { Schema } from '../../../runtime/api/index.ts'
import { type Form, schemaOf, type TypeSettings } from './form.ts'
import { quoteBytes } from './json-output.ts'

const EMPTY = Buffer.alloc(0)

interface TextTraits {
  /** Name of the logical type: `io.debezium.data.Json`. */
  readonly name?: string
  readonly more?: Partial<Schema>
  /** Whether the binary form is the text itself, or that behind a version byte (jsonb, ltree), or something else. */
  readonly binary: 'text' | 'versioned' | 'other'
  /** As Form's; absent here too: no defaults. */
  readonly generated?: string
}

/** Types whose values are the server's text. */
export function text(settings: TypeSettings, traits: TextTraits): Form {
  const valueOfText = (bytes: Buffer, start: number, end: number) => bytes.toString('utf8', start, end)
  const writeText: Form['writeText'] = (bytes, start, end, into) => into.string(bytes, start, end)
  const skipped = traits.binary === 'versioned' ? 1 : 0
  const readable = traits.binary !== 'other'
  return {
    schema: schemaOf('STRING', traits.name, traits.more),
    valueOfText,
    writeText,
    valueOfBinary: readable ? (bytes, start, end) => valueOfText(bytes, start + skipped, end) : undefined,
    writeBinary: readable ? (bytes, start, end, into) => writeText(bytes, start + skipped, end, into) : undefined,
    zero: '',
    ...(traits.generated === undefined ? {} : { generated: traits.generated }),
    unavailable: settings.placeholder.text,
  }
}

/** The type `"char"`: one byte, which the text shows as `\ooo` where it is not ASCII; zero is the empty text. */
export function singleByte(settings: TypeSettings): Form {
  const scratch = Buffer.alloc(4)
  const shown = (byte: number) => {
    if (byte < 0x80) return byte === 0 ? EMPTY : scratch.fill(byte, 0, 1).subarray(0, 1)
    scratch.write(`\\${byte.toString(8)}`, 'latin1')
    return scratch
  }
  return {
    ...text(settings, { binary: 'other', generated: '' }),
    valueOfBinary: (bytes, start) => shown(bytes[start]!).toString('latin1'),
    writeBinary(bytes, start, _end, into) {
      const text = shown(bytes[start]!)
      into.string(text, 0, text.length)
    },
  }
}

const HEX = Buffer.from('0123456789abcdef')
const MINUS = 0x2d

export const ZERO_UUID = '00000000-0000-0000-0000-000000000000'

export function uuid(settings: TypeSettings): Form {
  const scratch = Buffer.alloc(36, MINUS)
  const shown = (bytes: Buffer, start: number) => {
    let at = 0
    for (let i = 0; i < 16; i++) {
      if (i === 4 || i === 6 || i === 8 || i === 10) at++
      const byte = bytes[start + i]!
      scratch[at++] = HEX[byte >> 4]!
      scratch[at++] = HEX[byte & 15]!
    }
    return scratch
  }
  return {
    ...text(settings, { name: 'io.debezium.data.Uuid', binary: 'other', generated: ZERO_UUID }),
    writeText: quoteBytes,
    valueOfBinary: (bytes, start) => shown(bytes, start).toString('latin1'),
    writeBinary: (bytes, start, _end, into) => quoteBytes(shown(bytes, start), 0, 36, into),
  }
}
