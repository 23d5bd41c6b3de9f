import { isUtf8 } from 'node:buffer'
import type { DumpedBatch, DumpedRecord, DumpItem } from '../broker/index.ts'
import { escapeControls } from './text.ts'

/** An item as Kafka's DumpLogSegments prints it, so that what reads its output reads ours; control characters are escaped. */
export function dumpLine(item: DumpItem): string {
  switch (item.kind) {
    case 'file':
      return `Dumping ${item.path}${item.startingOffset === undefined ? '' : `\nLog starting offset: ${item.startingOffset}`}`
    case 'batch':
      return batchLine(item)
    case 'record':
      return recordLine(item)
    case 'invalid':
      return `Found ${item.end - item.position} invalid bytes at position: ${item.position} ${offsetsOf(item)}: ${item.reason}`
    case 'offsetEntry':
      return `offset: ${item.offset} position: ${item.position}`
    case 'timeEntry':
      return `timestamp: ${item.timestamp} offset: ${item.offset}`
    case 'abortedTransaction':
      return `version: ${item.version} producerId: ${item.producerId} firstOffset: ${item.firstOffset} lastOffset: ${item.lastOffset} lastStableOffset: ${item.lastStableOffset}`
    case 'producer':
      return producerLine(item)
    case 'unreadable':
      return `Unreadable: ${item.reason}`
  }
}

/** What may have been in damage: `offsets: 30 to 39`. */
export function offsetsOf(range: { readonly firstOffset: number; readonly lastOffset: number | undefined }): string {
  if (range.lastOffset === undefined) return `offsets: from ${range.firstOffset}`
  if (range.lastOffset < range.firstOffset) return 'offsets: none'
  return `offsets: ${range.firstOffset} to ${range.lastOffset}`
}

/** One JSON object; keys and values as text where they are UTF-8, else in base64. */
export function dumpJson(item: DumpItem): string {
  if (item.kind !== 'record') return JSON.stringify(item)
  const { key, value, headers, ...rest } = item
  return JSON.stringify({
    ...rest,
    ...bytesAs('key', key),
    ...bytesAs('value', value),
    headers: headers.map(header => ({ key: header.key, ...bytesAs('value', header.value) })),
  })
}

function bytesAs(name: string, bytes: Uint8Array | null): object {
  if (bytes === null) return { [name]: null }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(text) ? { [name]: text.toString() } : { [`${name}Base64`]: text.toString('base64') }
}

function batchLine(batch: DumpedBatch): string {
  const { kind: _, timestampType, timestamp, deleteHorizonMs, ...fields } = batch
  const words: string[] = []
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'position') words.push(`deleteHorizonMs: ${optional(deleteHorizonMs ?? -1)}`)
    words.push(`${name}: ${value}`)
    if (name === 'position') words.push(`${timestampType}: ${timestamp}`)
  }
  return words.join(' ')
}

function recordLine({
  offset,
  timestampType,
  timestamp,
  key,
  value,
  sequence,
  headers,
  ...rest
}: DumpedRecord): string {
  const names = headers.map(header => escapeControls(header.key)).join(',')
  const sizes = `keySize: ${key?.length ?? -1} valueSize: ${value?.length ?? -1}`
  const line = `| offset: ${offset} ${timestampType}: ${timestamp} ${sizes} sequence: ${sequence} headerKeys: [${names}]`
  if (rest.endTxnMarker !== undefined) {
    const { type, coordinatorEpoch } = rest.endTxnMarker
    return `${line} endTxnMarker: ${type} coordinatorEpoch: ${coordinatorEpoch}`
  }
  if (rest.decoded?.problem !== undefined) return `${line} undecodable: ${escapeControls(rest.decoded.problem)}`
  if (rest.decoded !== undefined) {
    const payload = rest.decoded.value === null ? '<DELETE>' : JSON.stringify(rest.decoded.value)
    return `${line} key: ${JSON.stringify(rest.decoded.key)} payload: ${payload}`
  }
  const keyText = key === null ? '' : ` key: ${escapeControls(key.toString())}`
  return `${line}${keyText}${value === null ? '' : ` payload: ${escapeControls(value.toString())}`}`
}

function producerLine(state: Extract<DumpItem, { kind: 'producer' }>): string {
  const last = state.batches.at(-1)
  const batch =
    last === undefined
      ? ''
      : `firstSequence: ${last.firstSequence} lastSequence: ${last.lastSequence} lastOffset: ${last.lastOffset} offsetDelta: ${last.offsetDelta} timestamp: ${state.timestamp}`
  return `producerId: ${state.id} producerEpoch: ${state.epoch} coordinatorEpoch: ${state.coordinatorEpoch} currentTxnFirstOffset: ${optional(state.openFrom)} lastTimestamp: ${state.timestamp} ${batch}`
}

function optional(value: number): string {
  return value < 0 ? 'OptionalLong.empty' : `OptionalLong[${value}]`
}
