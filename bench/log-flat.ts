import { join } from 'node:path'
import { SeededRandom } from '../base/index.ts'
import type { Broker } from '../broker/index.ts'
import type { Bench, BenchContext } from './bench.ts'
import { BATCH_BYTES, batchesOf, bytesOf, fill, rateOf } from './log-input.ts'
import { openLog } from './open-log.ts'

const SMALL = 50 << 10
const MIDDLE = 1 << 30
const LARGE = Number(process.env.KTS_BENCH_FLAT_BYTES ?? 20 * 2 ** 30)

const SEEKS = 500
const TAIL_BYTES = 128 << 20

interface Kind {
  readonly name: string
  readonly unit: string
  measure(broker: Broker): Promise<number>
}

const KINDS: readonly Kind[] = [
  { name: 'append', unit: 'MB/s', measure: appendRate },
  { name: 'tail-read', unit: 'MB/s', measure: tailReadRate },
  { name: 'seek', unit: 'seeks/s', measure: seekRate },
]

/** Whether append, read at the end and random seek stay as they are while the log grows. */
export const logFlat: readonly Bench[] = KINDS.flatMap(kind => [
  flat(kind, LARGE, MIDDLE, { must: 0.9, goal: 0.95 }),
  flat(kind, MIDDLE, SMALL, {}),
])

function flat(kind: Kind, size: number, than: number, bars: { must?: number; goal?: number }): Bench {
  return {
    name: `log-flat-${kind.name}-${sizeName(size)}`,
    unit: kind.unit,
    against: `itself at ${sizeName(than)}`,
    ...bars,
    open: async context => {
      const [ours, theirs] = [await logOf(context, size), await logOf(context, than)]
      return {
        ours: () => kind.measure(ours),
        theirs: () => kind.measure(theirs),
        close: async () => {
          await ours.close()
          await theirs.close()
        },
      }
    },
  }
}

function sizeName(bytes: number): string {
  return bytes >= 2 ** 30 ? `${Math.round(bytes / 2 ** 30)}gb` : `${Math.round(bytes / 2 ** 10)}kb`
}

async function logOf({ directory }: BenchContext, bytes: number): Promise<Broker> {
  const broker = await openLog(join(directory, `log-${bytes}`))
  await broker.ensureTopic({ name: 'lines', configs: { 'retention.ms': '-1' } })
  if (bytes < BATCH_BYTES) {
    const writer = await broker.writer('fill')
    const transaction = await writer.begin()
    await transaction.append('lines', 0, batchesOf(bytes, bytes)[0]!)
    await transaction.commit()
    await writer.close()
  } else await fill(broker, 'lines', 1, bytes)
  return broker
}

async function appendRate(broker: Broker): Promise<number> {
  const batches = batchesOf(TAIL_BYTES)
  const writer = await broker.writer('bench')
  return rateOf(bytesOf(batches), async () => {
    for (const batch of batches) {
      const transaction = await writer.begin()
      await transaction.append('lines', 0, batch)
      await transaction.commit()
    }
  })
}

/** Reads what lies before the end, as far as there is so much, several times over. */
async function tailReadRate(broker: Broker): Promise<number> {
  const { lastStableOffset } = await broker.partition('lines', 0)
  const start = Math.max(0, lastStableOffset - TAIL_BYTES / 200)
  let bytes = 0
  const started = performance.now()
  while (bytes < TAIL_BYTES) {
    for (let offset = start; ; ) {
      const { batches, release } = await read(broker, offset, 1 << 20)
      if (batches.length === 0) break
      for (const { records, nextOffset } of batches) {
        bytes += records.size
        offset = nextOffset
      }
      release()
    }
  }
  return bytes / 1e6 / ((performance.now() - started) / 1000)
}

async function seekRate(broker: Broker): Promise<number> {
  const { lastStableOffset } = await broker.partition('lines', 0)
  const random = new SeededRandom(11)
  const started = performance.now()
  for (let i = 0; i < SEEKS; i++) {
    const { release } = await read(broker, Math.floor(random.next() * lastStableOffset), 1)
    release()
  }
  return SEEKS / ((performance.now() - started) / 1000)
}

function read(broker: Broker, offset: number, bytesMax: number) {
  return broker.read('lines', 0, offset, { isolation: 'read_committed', bytesMax, waitMs: 0 })
}
