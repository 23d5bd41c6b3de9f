import { createHash } from 'node:crypto'
import { KtsError } from '../../runtime/api/index.ts'
import type { ObjectWriter } from './object-store.ts'
import { s3Code } from './s3-errors.ts'
import type { S3Requests } from './s3-store.ts'

/** Parts under way at once: enough to hide the round trip, little enough to hold. */
const PARTS_IN_FLIGHT_MAX = 2

const BUFFER_MIN = 64 << 10

interface Part {
  readonly number: number
  readonly bytes: Buffer
  readonly md5: Buffer
  /** Undefined after it failed: the next wait sends it again. */
  sending: Promise<string> | undefined
}

interface DonePart {
  readonly etag: string
  readonly md5: Buffer
}

/**
 * One S3 object. What is smaller than a part goes up whole at the commit; what is larger goes up in parts of exactly
 * `partSize` bytes while it is still being filled, so memory does not grow with the object (some stores, R2 among them,
 * want parts of one size). Every body carries its MD5, and the ETags that come back are compared with ours.
 */
export class S3Object implements ObjectWriter {
  readonly #requests: S3Requests
  readonly #key: string
  #buffer = Buffer.alloc(0)
  #length = 0
  #uploadId: string | undefined
  readonly #sending: Part[] = []
  readonly #done: DonePart[] = []
  #partCount = 0
  /** A Complete went out whose answer was not understood: the object may be there. */
  #completing = false
  #committed = false

  constructor(requests: S3Requests, key: string) {
    this.#requests = requests
    this.#key = key
  }

  get #place(): string {
    return `s3://${this.#requests.options.bucket}/${this.#key}`
  }

  get held(): number {
    return this.#buffer.length + this.#sending.reduce((sum, part) => sum + part.bytes.length, 0)
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { partSize } = this.#requests.options
    for (let from = 0; from < chunk.length; ) {
      // Waiting comes before taking: once a chunk has filled a part, there is room for the next. A chunk is smaller than
      // a part, so it fills at most one, at its end.
      if (this.#length + chunk.length - from >= partSize) {
        while (this.#sending.length >= PARTS_IN_FLIGHT_MAX) await this.#oldestPart()
        this.#uploadId ??= await this.#begin()
      }
      const to = Math.min(chunk.length, from + partSize - this.#length)
      this.#append(chunk.subarray(from, to))
      from = to
      if (this.#length === partSize) this.#startPart()
    }
  }

  async commit(): Promise<void> {
    if (this.#committed) return
    if (this.#uploadId === undefined) await this.#putWhole()
    else await this.#finishUpload(this.#uploadId)
    this.#committed = true
    this.#buffer = Buffer.alloc(0)
  }

  async abort(): Promise<void> {
    if (this.#committed || this.#uploadId === undefined) return
    // A part that arrives behind the abort would stay, and be paid for.
    await Promise.allSettled(this.#sending.map(part => part.sending))
    const { sdk, client, options } = this.#requests
    const upload = { Bucket: options.bucket, Key: this.#key, UploadId: this.#uploadId }
    try {
      await client.send(new sdk.AbortMultipartUploadCommand(upload))
    } catch {
      // The next start sweeps what could not be reached now.
    }
  }

  #append(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#buffer.length) {
      const { partSize } = this.#requests.options
      const capacity = Math.max(BUFFER_MIN, this.#buffer.length * 2, this.#length + bytes.length)
      const larger = Buffer.allocUnsafeSlow(Math.min(partSize, capacity))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #startPart(): void {
    const bytes = this.#buffer.subarray(0, this.#length)
    this.#buffer = Buffer.alloc(0)
    this.#length = 0
    this.#partCount++
    const part: Part = { number: this.#partCount, bytes, md5: md5(bytes), sending: undefined }
    this.#sending.push(part)
    this.#send(part).catch(() => {})
  }

  #send(part: Part): Promise<string> {
    part.sending ??= this.#uploadPart(part)
    return part.sending
  }

  async #oldestPart(): Promise<void> {
    const part = this.#sending[0]!
    try {
      this.#done.push({ etag: await this.#send(part), md5: part.md5 })
    } catch (error) {
      part.sending = undefined
      throw error
    }
    this.#sending.shift()
  }

  async #begin(): Promise<string> {
    const { sdk, client, options } = this.#requests
    return await this.#requests.retried('begin the upload of', this.#key, async abortSignal => {
      const command = new sdk.CreateMultipartUploadCommand({ Bucket: options.bucket, Key: this.#key })
      const { UploadId } = await client.send(command, { abortSignal })
      if (UploadId === undefined) throw unclear('begin the upload of', this.#place, 'the answer has no UploadId')
      return UploadId
    })
  }

  #uploadPart(part: Part): Promise<string> {
    const { sdk, client, options } = this.#requests
    return this.#requests.retried(`upload part ${part.number} of`, this.#key, async abortSignal => {
      const command = new sdk.UploadPartCommand({
        Bucket: options.bucket,
        Key: this.#key,
        UploadId: this.#uploadId,
        PartNumber: part.number,
        Body: part.bytes,
        ContentMD5: part.md5.toString('base64'),
      })
      const answer = await client.send(command, { abortSignal })
      return confirmed('upload a part of', this.#place, answer, part.md5.toString('hex'))
    })
  }

  #putWhole(): Promise<void> {
    const { sdk, client, options } = this.#requests
    const body = this.#buffer.subarray(0, this.#length)
    const digest = md5(body)
    return this.#requests.retried('put', this.#key, async abortSignal => {
      const command = new sdk.PutObjectCommand({
        Bucket: options.bucket,
        Key: this.#key,
        Body: body,
        ContentMD5: digest.toString('base64'),
      })
      const answer = await client.send(command, { abortSignal })
      confirmed('put', this.#place, answer, digest.toString('hex'))
    })
  }

  async #finishUpload(uploadId: string): Promise<void> {
    if (this.#length > 0) this.#startPart()
    while (this.#sending.length > 0) await this.#oldestPart()
    const { sdk, client, options } = this.#requests
    await this.#requests.retried('complete the upload of', this.#key, async abortSignal => {
      const command = new sdk.CompleteMultipartUploadCommand({
        Bucket: options.bucket,
        Key: this.#key,
        UploadId: uploadId,
        MultipartUpload: { Parts: this.#done.map(({ etag }, i) => ({ ETag: etag, PartNumber: i + 1 })) },
      })
      const again = this.#completing
      this.#completing = true
      const answer = await client.send(command, { abortSignal }).catch(error => {
        // An earlier Complete whose answer was lost did its work, and so ended the upload.
        if (again && s3Code(error) === 'NoSuchUpload') return this.#stored(abortSignal, error)
        throw error
      })
      confirmed('complete the upload of', this.#place, answer, this.#wholeTag())
    })
  }

  /** What stands under the key; throws `otherwise` when it is not what we sent, or is not ours to look at. */
  async #stored(abortSignal: AbortSignal, otherwise: unknown): Promise<{ readonly ETag?: string | undefined }> {
    const { sdk, client, options } = this.#requests
    const command = new sdk.HeadObjectCommand({ Bucket: options.bucket, Key: this.#key })
    const head = await client.send(command, { abortSignal }).catch(error => {
      const status = error?.$metadata?.httpStatusCode
      throw status === 403 || status === 404 ? otherwise : error
    })
    const tag = this.#wholeTag()
    if (head.ETag !== undefined && unquoted(head.ETag) !== tag) throw otherwise
    return head
  }

  /** S3's ETag of an object in parts: the MD5 of the parts' MD5s, and their number. */
  #wholeTag(): string {
    return `${md5(Buffer.concat(this.#done.map(part => part.md5))).toString('hex')}-${this.#done.length}`
  }
}

function md5(bytes: Uint8Array): Buffer {
  return createHash('md5').update(bytes).digest()
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', '')
}

/** Encrypted with a customer's or KMS key the ETag is no MD5 (S3, "Object ETag"). */
interface Confirmation {
  readonly ETag?: string | undefined
  readonly ServerSideEncryption?: string | undefined
  readonly SSECustomerAlgorithm?: string | undefined
}

/**
 * The ETag of an answer that proves what was stored. 200 alone is no proof: a Complete may answer 200 with an error in the
 * body, and a proxy 200 with a page of its own.
 */
function confirmed(action: string, place: string, answer: Confirmation, expected: string): string {
  if (answer.ETag === undefined || answer.ETag === '') throw unclear(action, place, 'the answer has no ETag')
  const etag = unquoted(answer.ETag)
  const opaque = answer.SSECustomerAlgorithm !== undefined || /kms/.test(answer.ServerSideEncryption ?? '')
  const looksLikeMd5 = /^[0-9a-f]{32}$/.test(expected) ? /^[0-9a-f]{32}$/.test(etag) : /^[0-9a-f]{32}-\d+$/.test(etag)
  if (!opaque && looksLikeMd5 && etag !== expected) {
    throw unclear(action, place, `the store's ETag is ${etag}, expected ${expected}: what it has is not what was sent`)
  }
  return answer.ETag
}

function unclear(action: string, place: string, what: string): KtsError {
  return new KtsError('RETRIABLE', `${action} ${place}: ${what}; it is tried again`)
}
