import { createRequire } from 'node:module'
import { gunzipSync, gzipSync } from 'node:zlib'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync, uncompressSync } from 'snappy'
import { type CodecName, loadCodec, SeededRandom } from '../base/index.ts'
import { accessLogChunk } from '../cli/access-log.ts'
import type { Bench } from './bench.ts'

/** About what a full batch of the log holds. */
const INPUT_BYTES = 1 << 20
const ROUNDS = 40

interface Peer {
  readonly name: string
  readonly compress: (bytes: Buffer) => Uint8Array
  readonly decompress: (bytes: Uint8Array) => Uint8Array
}

/** Without the copy the runtime keeps the library's memory alive, five times slower. */
const COPIED = { copyOutputData: true }

const PEERS: Readonly<Record<Exclude<CodecName, 'none'>, () => Peer | undefined>> = {
  gzip: () => ({ name: 'zlib', compress: bytes => gzipSync(bytes, { level: 1 }), decompress: gunzipSync }),
  snappy: () => ({
    name: 'snappy (native)',
    compress: bytes => compressSync(bytes, COPIED),
    decompress: bytes => uncompressSync(bytes, { ...COPIED, asBuffer: true }) as Buffer,
  }),
  lz4: () => ({
    name: 'lz4-napi',
    compress: bytes => compressFrameSync(bytes),
    decompress: bytes => decompressFrameSync(Buffer.from(bytes)),
  }),
  zstd: nativeZstd,
}

function nativeZstd(): Peer | undefined {
  try {
    const napi = createRequire(import.meta.url)('zstd-napi') as {
      compress(bytes: Uint8Array, options: { compressionLevel: number }): Uint8Array
      decompress(bytes: Uint8Array): Uint8Array
    }
    return {
      name: 'zstd-napi',
      compress: bytes => napi.compress(bytes, { compressionLevel: 1 }),
      decompress: bytes => napi.decompress(bytes),
    }
  } catch {
    return undefined
  }
}

/** Each codec of the log over 1 MiB of access log, against the native library's own bytes and calls. */
export const codecs: readonly Bench[] = (['gzip', 'snappy', 'lz4', 'zstd'] as const).flatMap(name => [
  codecBench(name, 'compress'),
  codecBench(name, 'decompress'),
])

function codecBench(name: Exclude<CodecName, 'none'>, work: 'compress' | 'decompress'): Bench {
  const peer = PEERS[name]()
  return {
    name: `codecs-${name}-${work}`,
    unit: 'MB/s',
    against: peer?.name ?? 'the native library',
    must: 0.2,
    goal: 0.5,
    async open() {
      const text = Buffer.from(accessLogChunk(new SeededRandom(7), INPUT_BYTES, 0, 10).text, 'latin1')
      const codec = await loadCodec(name)
      const packed = await codec.compress(text)
      const theirPacked = peer?.compress(text)
      const ours = work === 'compress' ? () => codec.compress(text) : () => codec.decompress(packed, text.length)
      const theirs =
        peer === undefined || theirPacked === undefined
          ? undefined
          : work === 'compress'
            ? () => peer.compress(text)
            : () => peer.decompress(theirPacked)
      return {
        ours: () => rate(text.length, ours),
        theirs: theirs === undefined ? undefined : () => rate(text.length, theirs),
        close: async () => {},
      }
    },
  }
}

async function rate(bytes: number, work: () => unknown): Promise<number> {
  const started = performance.now()
  for (let i = 0; i < ROUNDS; i++) await work()
  return (bytes * ROUNDS) / 1e6 / ((performance.now() - started) / 1000)
}
