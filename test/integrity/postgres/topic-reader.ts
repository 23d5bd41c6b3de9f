import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { type PlainRecord, plainBatches } from '../log/plain-log.ts'

/**
 * Committed records of one partition, as they come while a worker writes: reads on from where it was, by a decoder that
 * shares nothing with the engine.
 */
export class TopicReader {
  readonly #folder: string
  #file: string | undefined
  #position = 0
  /** By producer: records of the transaction that is open. */
  readonly #open = new Map<bigint, PlainRecord[]>()
  /** Offset behind the last batch that was read, of whatever outcome. */
  next = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** What has been committed since the last call. Order within one transaction is kept; transactions come as they end. */
  read(): PlainRecord[] {
    const committed: PlainRecord[] = []
    if (!existsSync(this.#folder)) return committed
    const files = readdirSync(this.#folder).filter(name => /^\d{20}\.log$/.test(name))
    for (const file of files.sort()) {
      if (this.#file !== undefined && file < this.#file) continue
      if (file !== this.#file) [this.#file, this.#position] = [file, 0]
      this.#readFile(join(this.#folder, file), committed)
    }
    return committed
  }

  /** Records of transactions that were open when it was last read. */
  get undecided(): PlainRecord[] {
    return [...this.#open.values()].flat()
  }

  #readFile(path: string, committed: PlainRecord[]): void {
    const bytes = bytesFrom(path, this.#position)
    const whole = wholeBatches(bytes)
    for (const batch of plainBatches(path, bytes.subarray(0, whole))) {
      this.next = batch.lastOffset + 1
      const open = this.#open.get(batch.producerId) ?? []
      if (batch.control) {
        if (batch.commits) committed.push(...open)
        this.#open.delete(batch.producerId)
      } else if (batch.transactional) {
        for (const record of batch.records) open.push(record)
        this.#open.set(batch.producerId, open)
      } else committed.push(...batch.records)
    }
    this.#position += whole
  }
}

/** A worker may be in the middle of a write. */
function wholeBatches(bytes: Buffer): number {
  let at = 0
  while (at + 12 <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (end > bytes.length || end <= at) break
    at = end
  }
  return at
}

function bytesFrom(path: string, position: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - position))
    const length = readSync(file, bytes, 0, bytes.length, position)
    return bytes.subarray(0, length)
  } finally {
    closeSync(file)
  }
}
