import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import {
  errorCode,
  errorMessage,
  type Files,
  KtsError,
  nodeFiles,
  randomInt,
  SeededRandom,
  systemClock,
} from '../../../base/index.ts'
import { CopyStream } from '../../../connectors/postgres/copy-stream.ts'
import { readLsn } from '../../../connectors/postgres/lsn.ts'
import type { ReplicationStream } from '../../../connectors/postgres/replication-stream.ts'
import { Spools } from '../../../connectors/postgres/spool.ts'
import { Transactions } from '../../../connectors/postgres/transactions.ts'
import type { Tuple } from '../../../connectors/postgres/tuple.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { cuttingProxy, Recorder, readTo, Source } from './stream-tools.ts'

const sources: Source[] = []
afterEach(async () => {
  for (const source of sources.splice(0)) await source.close()
})

async function make(schema: string, twoPhase = false): Promise<Source> {
  const source = await Source.make(await sharedPostgres(17), schema, twoPhase)
  sources.push(source)
  return source
}

const TABLE = 'CREATE TABLE t (id int PRIMARY KEY, a text)'
const EVERYTHING = `
  INSERT INTO t VALUES (1, 'one'), (2, NULL); UPDATE t SET id = 3 WHERE id = 1; DELETE FROM t WHERE id = 2;
  SELECT pg_logical_emit_message(true, 'p', 'in'); SELECT pg_logical_emit_message(false, 'p', 'alone'); SAVEPOINT s;
  INSERT INTO t VALUES (7, 'lost'); ROLLBACK TO s`
const STREAMED = '-c debug_logical_replication_streaming=immediate'

describe('the stream through faults', () => {
  it('is told of every cut as RETRIABLE, and goes on from its position without a wrong, lost or repeated row', async () => {
    const source = await make(TABLE)
    for (let i = 0; i < 60; i++) {
      await source.sql(`INSERT INTO t SELECT ${i} * 100 + g, repeat('v', 100) FROM generate_series(1, 60) g`)
      await source.sql(`UPDATE t SET a = 'u${i}' WHERE id % 100 = 1`)
    }
    const end = await source.now()
    const whole = new Recorder()
    await readTo(await source.open({ slot: await extraSlot(source, 'whole') }), whole, end)
    const random = new SeededRandom(5)
    const proxy = await cuttingProxy(source.server, () => 300 + randomInt(random, 60_000))
    source.port = proxy.port
    const lines: string[] = []
    let at = 0
    let cuts = 0
    try {
      while (at < end) {
        const part = new Recorder()
        let stream: ReplicationStream | undefined
        try {
          stream = await source.open({ startLsn: at, workMem: cuts % 2 === 0 ? '64kB' : '64MB' })
          await readTo(stream, part, end)
          at = end
        } catch (error) {
          cuts++
          // A connection that is cut before the COPY is the client's to judge, and another part's.
          if (stream !== undefined)
            expect([errorCode(error), errorMessage(error)]).toEqual(['RETRIABLE', expect.anything()])
        }
        lines.push(...part.lines.slice(0, part.lines.lastIndexOf('commit') + 1))
        at = Math.max(at, part.ends.at(-1) ?? 0)
        await stream?.close()
      }
    } finally {
      await proxy.close()
      source.port = undefined
    }
    expect(cuts).toBeGreaterThan(5)
    expect(lines).toEqual(whole.lines)
  }, 60_000)

  it('holds no more memory for a transaction of 200,000 rows than for a small one', async () => {
    const source = await make(TABLE)
    await source.sql(`INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 200000) g`)
    const stream = await source.open({ workMem: '64kB' })
    let rows = 0
    let room = 0
    let most = 0
    const changes = Object.assign(new Recorder(), {
      insert() {
        rows++
        room--
      },
    })
    Object.defineProperty(changes, 'full', { get: () => room <= 0 })
    const used = () => {
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      return heapUsed + arrayBuffers
    }
    const before = used()
    while (rows < 200_000) {
      room = 2000
      await stream.read(changes, 500, AbortSignal.timeout(30_000))
      most = Math.max(most, used())
    }
    // 50 MB of rows; what is not collected yet counts here as well.
    expect(most - before).toBeLessThan(48 << 20)
    room = 10
    await readTo(stream, changes, await source.now())
    expect(readdirSync(source.scratch)).toEqual([])
  }, 60_000)

  it('says that a slot is gone, or in use', async () => {
    const source = await make(TABLE)
    await expect(source.open({ slot: 'nowhere' })).rejects.toMatchObject({ code: 'POSITION_LOST' })
    await source.open()
    await expect(source.open()).rejects.toMatchObject({ code: 'RETRIABLE' })
    await source.sql(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_replication WHERE pid IN
      (SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${source.database}')`)
    const stream = await source.open()
    await source.sql('DROP PUBLICATION pub')
    await source.sql('INSERT INTO t VALUES (1)')
    await expect(readTo(stream, new Recorder(), await source.now())).rejects.toMatchObject({ code: 'POSITION_LOST' })
  })

  it('tells that the server ended the connection, and says what it said', async () => {
    const source = await make(TABLE)
    const stream = await source.open()
    await source.sql(`SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
      WHERE slot_name = '${source.database}'`)
    await expect(readTo(stream, new Recorder(), Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
      code: 'RETRIABLE',
      message: expect.stringContaining('57P01'),
    })
  })
})

async function extraSlot(source: Source, name: string): Promise<string> {
  const slot = `${source.database}_${name}`
  await source.sql(`SELECT pg_copy_logical_replication_slot('${source.database}', '${slot}')`)
  return slot
}

interface Recorded {
  readonly bytes: Buffer
  readonly lsn: number
}

/** The messages of everything that the protocol has, as a real server sends them. */
async function record(source: Source, settings: string): Promise<Recorded[]> {
  const client = new pg.Client({
    connectionString: source.server.url(source.database),
    replication: 'database',
    options: settings,
  } as pg.ClientConfig)
  await client.connect()
  const options = "proto_version '4', publication_names 'pub', streaming 'on', messages 'true', two_phase 'on'"
  const sql = `START_REPLICATION SLOT "${source.database}" LOGICAL 0/0 (${options})`
  const copy = await CopyStream.begin(client, sql, { clock: systemClock, both: true })
  const messages: Recorded[] = []
  for (;;) {
    const lump = await copy.next(1000)
    if (lump === undefined || lump.count === 0) break
    for (let i = 0; i < lump.count; i++) {
      const payload = lump.bytes.subarray(lump.starts[i], lump.ends[i])
      if (payload[0] === 0x77) messages.push({ bytes: exact(payload.subarray(25)), lsn: readLsn(payload, 1) })
    }
  }
  await copy.close()
  return messages
}

/** In memory of its own, so that reading beyond its end is seen. */
function exact(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}

function mutated(bytes: Buffer, random: SeededRandom): Buffer {
  const kind = randomInt(random, 4)
  if (kind === 0) return exact(bytes.subarray(0, randomInt(random, bytes.length)))
  if (kind === 1) return exact(Buffer.concat([bytes, Buffer.from([randomInt(random, 256)])]))
  const changed = exact(bytes)
  for (let n = 1 + randomInt(random, kind === 2 ? 1 : 4); n > 0; n--) {
    changed[randomInt(random, bytes.length)] = [0, 255, 127, 128, randomInt(random, 256)][randomInt(random, 5)]!
  }
  return changed
}

describe('messages that were altered', () => {
  it('are refused with a clear error or understood, and never read beyond their end', async () => {
    const source = await make(TABLE, true)
    await source.sql(`BEGIN; ${EVERYTHING}; COMMIT; TRUNCATE t`)
    await source.sql(`BEGIN; ${EVERYTHING}; PREPARE TRANSACTION '${source.database}'`)
    await source.sql(`COMMIT PREPARED '${source.database}'`)
    await source.sql(`BEGIN; DELETE FROM t; PREPARE TRANSACTION '${source.database}'`)
    await source.sql(`ROLLBACK PREPARED '${source.database}'`)
    await source.sql(`BEGIN; INSERT INTO t VALUES (99, 'x'); ROLLBACK`)
    const recordings = [await record(source, ''), await record(source, STREAMED)]
    const kinds = new Set(recordings.flat().map(({ bytes }) => String.fromCharCode(bytes[0]!)))
    expect([...kinds].sort().join('')).toBe('ABCDEIKMPRSTUbcpr')

    const folder = mkdtempSync(join(tmpdir(), 'kts-fuzz-'))
    const random = new SeededRandom(17)
    const inside = (row: Tuple) => {
      for (let i = 0; i < row.count; i++)
        expect(row.starts[i]! <= row.ends[i]! && row.ends[i]! <= row.bytes.length).toBe(true)
    }
    const codes = new Map<string, number>()
    try {
      for (let run = 0; run < 400; run++) {
        const messages = recordings[run % 2]!
        const transactions = new Transactions(await Spools.open(nodeFiles, folder), 0, true)
        const changes = Object.assign(new Recorder(), { insert: (_: unknown, row: Tuple) => inside(row) })
        const altered = randomInt(random, messages.length)
        let code = 'understood'
        try {
          for (const [i, { bytes, lsn }] of messages.entries()) {
            const given = i === altered ? mutated(bytes, random) : bytes
            await transactions.accept(given, 0, given.length, lsn, changes)
            await transactions.replay(changes)
          }
        } catch (error) {
          expect(error).toBeInstanceOf(KtsError)
          code = errorCode(error)
        }
        codes.set(code, (codes.get(code) ?? 0) + 1)
        await transactions.close()
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    expect([...codes.keys()].sort()).toEqual(expect.arrayContaining(['CORRUPT_MESSAGE', 'understood']))
    for (const code of codes.keys())
      expect(['CORRUPT_MESSAGE', 'CONFIG_INVALID', 'POSITION_LOST', 'understood']).toContain(code)
  }, 60_000)
})

describe('a disk without space for a transaction that is streamed', () => {
  it('is said as DISK_FULL, which is tried again', async () => {
    const source = await make(TABLE)
    await source.sql(`BEGIN; ${EVERYTHING}; COMMIT`)
    const full: Files = {
      ...nodeFiles,
      async open(path, mode) {
        const file = await nodeFiles.open(path, mode)
        file.write = () => Promise.reject(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' }))
        return file
      },
    }
    const stream = await source.open({ settings: STREAMED, files: full })
    const reading = readTo(stream, new Recorder(), await source.now())
    await expect(reading).rejects.toMatchObject({ code: 'DISK_FULL', message: expect.stringContaining(source.scratch) })
    await stream.close()
    const whole = new Recorder()
    await readTo(await source.open({ settings: STREAMED }), whole, await source.now())
    expect(whole.lines.at(-1)).toBe('commit')
  })
})
