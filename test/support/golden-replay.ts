import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type JsonObject, type JsonValue, parseJson } from '../../base/index.ts'
import type { PlainRecord } from '../integrity/log/plain-log.ts'
import { type ChangeEvent, headerText, isObject, loadGoldenRun, scriptPhases } from './golden-events.ts'
import type { PostgresServer } from './postgres.ts'
import { lsnOf } from './postgres-lsn.ts'
import { PostgresPipeline } from './postgres-pipeline.ts'

/** Of Debezium's own place, or said by the test in its own way. */
const NOT_OPTIONS = [
  'connector.class',
  'plugin.name',
  'database.hostname',
  'database.port',
  'database.user',
  'database.password',
  'database.dbname',
  'slot.name',
  'header.converter.schemas.enable',
]

/** The scripts wait where Debezium would read a catalogue that DDL has already changed. */
const PAUSE = /^SELECT pg_sleep\([\d.]+\);$/m

export interface Replay {
  readonly server: PostgresServer
  /** Folders of the golden data whose settings are replayed together, over one run of the scripts. */
  readonly runs: readonly string[]
  /** Already there, with what the snapshot is to find. */
  readonly database: string
  /** 03-stream.sql. */
  readonly stream: string
  /** Waits where the script does: what is awaited is time. Else only until everyone has caught up. */
  readonly pauses?: boolean
}

/** The golden scripts, as far as a server without PostGIS can run them when it has none. */
export function goldenScript(folder: string, name: string, file: string, postgis: boolean): string {
  const read = (which: string) => readFileSync(join(folder, name, which), 'utf8')
  const text = read(file).replaceAll(/^\\i (\S+)$/gm, (_, included: string) => read(included))
  if (postgis) return text
  return text
    .replace(/ CREATE EXTENSION IF NOT EXISTS postgis;/, '')
    .replace(', g geometry, g3 geometry(PointZ,4326), gg geography(Point,4326))', ')')
    .replaceAll(/INSERT INTO geom_types_table\(p,l,ls,b,pa,po,c,g,g3,gg\) VALUES (.*);/g, (_, rows: string) => {
      const without = rows.replaceAll(/,(?:NULL|'[^']*'),(?:NULL|'[^']*'),(?:NULL|'[^']*')\)(?=,\(|$)/g, ')')
      return `INSERT INTO geom_types_table(p,l,ls,b,pa,po,c) VALUES ${without};`
    })
}

/** Runs the stream's phases while one connector per run captures them, and answers the events of each. */
export async function replay(folder: string, options: Replay): Promise<Map<string, { events: ChangeEvent[] }>> {
  const { server, database } = options
  const pipelines = new Map<string, PostgresPipeline>()
  try {
    for (const name of options.runs) {
      const { settings } = loadGoldenRun(folder, name)
      const own = Object.fromEntries(Object.entries(settings).filter(([key]) => !NOT_OPTIONS.includes(key)))
      const slot = `g_${name.replaceAll('-', '_')}`
      // Theirs leaves such columns out unless it is asked for them.
      const all = { 'include.unknown.datatypes': 'false', ...own }
      pipelines.set(name, new PostgresPipeline({ server, database, slot, settings: all }))
    }
    await Promise.all([...pipelines.values()].map(pipeline => pipeline.start()))
    const everyone = () => Promise.all([...pipelines.values()].map(pipeline => pipeline.caughtUp()))
    await everyone()
    const ends: { name: string; end: number }[] = []
    for (const { name, sql } of scriptPhases(options.stream)) {
      for (const piece of options.pauses === true ? [sql] : sql.split(PAUSE)) {
        if (piece.trim() !== '') await server.run(piece, database)
        await everyone()
      }
      const { rows } = await server.query('SELECT pg_current_wal_insert_lsn() AS lsn')
      ends.push({ name, end: lsnOf(rows[0].lsn) })
    }
    await Promise.all([...pipelines.values()].map(pipeline => pipeline.stop()))
    return new Map([...pipelines].map(([name, pipeline]) => [name, { events: eventsOf(pipeline.topics(), ends) }]))
  } finally {
    await Promise.all([...pipelines.values()].map(pipeline => pipeline.close()))
    await server.query(
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${database}' AND NOT active`,
    )
  }
}

export function eventsOf(
  topics: ReadonlyMap<string, readonly PlainRecord[]>,
  ends: readonly { readonly name: string; readonly end: number }[] = [],
): ChangeEvent[] {
  return [...topics].flatMap(([topic, records]) => {
    let phase = 'snapshot'
    return records.map(record => {
      const event = changeEvent(topic, record)
      phase = phaseOf(event.value, ends) ?? phase
      return { ...event, phase }
    })
  })
}

export function changeEvent(topic: string, record: PlainRecord): ChangeEvent {
  const [key, value] = [withSchema(record.key), withSchema(record.value)]
  return {
    topic,
    headers: record.headers.map(([name, bytes]) => [name, headerOf(bytes)] as const),
    keySchema: key.schema,
    key: key.payload,
    valueSchema: value.schema,
    value: value.payload,
  }
}

/** Text is either itself or JSON, with or without its schema. */
function headerOf(bytes: Buffer | null): string {
  const text = bytes?.toString() ?? ''
  if (!/^[{["]/.test(text)) return text
  const json = parseJson(text)
  return headerText(isObject(json) && json.schema !== undefined ? json.payload! : json)
}

function withSchema(bytes: Buffer | null): { schema: JsonValue; payload: JsonValue } {
  if (bytes === null) return { schema: null, payload: null }
  const { schema, payload } = parseJson(bytes.toString()) as JsonObject
  if (schema === undefined || payload === undefined) throw new Error(`expected schema and payload, got ${bytes}`)
  return { schema, payload }
}

/** By the position of a change; undefined for what has none, which belongs to the phase of the event before. */
function phaseOf(value: JsonValue, ends: readonly { readonly name: string; readonly end: number }[]) {
  if (!isObject(value) || !isObject(value.source) || value.op === 'r') return undefined
  const lsn = value.source.lsn
  return typeof lsn === 'number' ? ends.find(({ end }) => lsn < end)?.name : undefined
}
