import { createRequire } from 'node:module'
import zlib from 'node:zlib'
import { asBuffer, type Codec, corruptData } from './codec.ts'

const ZSTD_LEVEL = 1

interface ZstdFunctions {
  compress(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>
  decompress(bytes: Uint8Array, sizeMax: number): Uint8Array | Promise<Uint8Array>
}

/** By the best implementation at hand: Node's own, else the optional native module, else WASM. */
export async function loadZstd(): Promise<Codec> {
  const functions = builtInZstd() ?? nativeZstd() ?? (await wasmZstd())
  return {
    name: 'zstd',
    id: 4,
    compress: async bytes => asBuffer(await functions.compress(bytes)),
    async decompress(bytes, sizeMax) {
      try {
        const out = await functions.decompress(bytes, sizeMax)
        if (out.byteLength > sizeMax) throw new RangeError(`more than ${sizeMax} bytes`)
        return asBuffer(out)
      } catch (cause) {
        throw corruptData('zstd', cause)
      }
    },
  }
}

interface ZlibWithZstd {
  zstdCompress?(bytes: Uint8Array, options: object, done: (error: Error | null, out: Buffer) => void): void
  zstdDecompress?(bytes: Uint8Array, options: object, done: (error: Error | null, out: Buffer) => void): void
  constants: { ZSTD_c_compressionLevel?: number }
}

/** Node 22.15 and later have zstd in zlib, on the thread pool. */
function builtInZstd(): ZstdFunctions | undefined {
  const { zstdCompress, zstdDecompress, constants } = zlib as unknown as ZlibWithZstd
  if (zstdCompress === undefined || zstdDecompress === undefined) return undefined
  const level = constants.ZSTD_c_compressionLevel
  const params = level === undefined ? {} : { [level]: ZSTD_LEVEL }
  return {
    compress: bytes =>
      new Promise((resolve, reject) =>
        // The frame says how long its content is, as the other two implementations write it.
        zstdCompress(bytes, { params, pledgedSrcSize: bytes.byteLength }, (e, out) => (e ? reject(e) : resolve(out))),
      ),
    decompress: (bytes, sizeMax) =>
      new Promise((resolve, reject) =>
        zstdDecompress(bytes, { maxOutputLength: sizeMax }, (e, out) => (e ? reject(e) : resolve(out))),
      ),
  }
}

interface ZstdNapi {
  Compressor: new () => { setParameters(p: { compressionLevel: number }): void; compress(bytes: Uint8Array): Buffer }
  Decompressor: new () => { decompress(bytes: Uint8Array): Buffer }
  DecompressStream: new () => NodeJS.ReadWriteStream & { destroy(): void }
}

/** The optional native module: twice as fast as WASM. */
function nativeZstd(): ZstdFunctions | undefined {
  let napi: ZstdNapi
  try {
    napi = createRequire(import.meta.url)('zstd-napi') as ZstdNapi
  } catch {
    return undefined
  }
  const compressor = new napi.Compressor()
  compressor.setParameters({ compressionLevel: ZSTD_LEVEL })
  const decompressor = new napi.Decompressor()
  return {
    compress: bytes => compressor.compress(bytes),
    decompress(bytes, sizeMax) {
      const size = zstdContentSize(bytes)
      if (size === undefined) return streamed(new napi.DecompressStream(), bytes, sizeMax)
      if (size > sizeMax) throw new RangeError(`${size} bytes, more than ${sizeMax}`)
      return decompressor.decompress(bytes)
    },
  }
}

/** Output of a stream, gathered up to `sizeMax` bytes. */
function streamed(stream: NodeJS.ReadWriteStream & { destroy(): void }, bytes: Uint8Array, sizeMax: number) {
  return new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    stream.on('data', (chunk: Buffer) => {
      length += chunk.length
      chunks.push(chunk)
      if (length > sizeMax) {
        stream.destroy()
        reject(new RangeError(`more than ${sizeMax} bytes`))
      }
    })
    stream.on('error', reject)
    stream.on('end', () => resolve(Buffer.concat(chunks, length)))
    stream.end(bytes)
  })
}

const WASM_FIRST_GUESS_BYTES = 4 << 20

async function wasmZstd(): Promise<ZstdFunctions> {
  const wasm = await import('@bokuweb/zstd-wasm')
  await wasm.init()
  return {
    compress: bytes => wasm.compress(bytes, ZSTD_LEVEL),
    decompress(bytes, sizeMax) {
      const size = zstdContentSize(bytes)
      if (size !== undefined && size > sizeMax) throw new RangeError(`${size} bytes, more than ${sizeMax}`)
      // Without a declared size the module wants a guess, and fails when it was too small.
      for (let guess = Math.min(WASM_FIRST_GUESS_BYTES, sizeMax); ; guess = Math.min(guess * 4, sizeMax)) {
        try {
          return wasm.decompress(bytes, { defaultHeapSize: guess })
        } catch (error) {
          if (size !== undefined || guess >= sizeMax) throw error
        }
      }
    },
  }
}

/**
 * Size of the content that a zstd frame declares, or undefined when it does not (RFC 8878, 3.1.1). Read before anything
 * is allocated, since the declared size is what the decoders allocate.
 */
export function zstdContentSize(frame: Uint8Array): number | undefined {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.length < 6 || view.readUInt32LE(0) !== 0xfd2fb528) throw new RangeError('not a zstd frame')
  const descriptor = view[4]!
  const singleSegment = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  if (sizeFlag === 0 && !singleSegment) return undefined
  const at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  if (view.length < at + (1 << sizeFlag)) throw new RangeError('truncated zstd frame header')
  if (sizeFlag === 0) return view[at]!
  if (sizeFlag === 1) return view.readUInt16LE(at) + 256
  if (sizeFlag === 2) return view.readUInt32LE(at)
  return view.readUInt32LE(at) + view.readUInt32LE(at + 4) * 2 ** 32
}
