import type { S3Client } from '@aws-sdk/client-s3'
import { type Clock, errorCode, type KtsError, type Logger, type Random, sleep } from '../../runtime/api/index.ts'
import type { ObjectStore, ObjectWriter } from './object-store.ts'
import { s3Code, s3Error } from './s3-errors.ts'
import { S3Object } from './s3-object.ts'

export interface S3StoreOptions {
  readonly bucket: string
  readonly region: string
  /** Undefined: AWS's own for the region. */
  readonly endpoint: string | undefined
  /** Undefined: the AWS SDK's default chain (environment, profile, container, instance). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  /** Every key begins with it; `''` or ending in `/`. */
  readonly prefix: string
  /** Bytes of one part; at least 5 MiB (S3's limit for all but the last). */
  readonly partSize: number
  /** Repetitions of one request before the error goes up. */
  readonly retries: number
  /** First wait between repetitions; doubles, jittered. */
  readonly backoffMs: number
  /** A connection without a byte for so long is dropped. */
  readonly silenceMs: number
}

export interface StoreContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly signal: AbortSignal
}

export type Sdk = typeof import('@aws-sdk/client-s3')

const BACKOFF_MAX_MS = 10_000

/** The SDK takes a quarter of a second to load, so only who needs a bucket pays for it. */
export async function openS3Store(options: S3StoreOptions, context: StoreContext): Promise<ObjectStore> {
  // On Node 20 it prints six lines about its own future versions; ours is pinned, and nobody could act on them.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
  const sdk = await import('@aws-sdk/client-s3')
  return new S3Store(sdk, options, context)
}

/** One S3 client with our retries: they hear the task's signal, and a test can turn their clock. */
export class S3Requests {
  readonly sdk: Sdk
  readonly options: S3StoreOptions
  readonly client: S3Client
  readonly #context: StoreContext

  constructor(sdk: Sdk, options: S3StoreOptions, context: StoreContext) {
    this.sdk = sdk
    this.options = options
    this.#context = context
    this.client = new sdk.S3Client({
      region: options.region,
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint, forcePathStyle: true }),
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      // Several stores refuse or damage bodies with the SDK's own checksums; we send Content-MD5, which all check.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 1,
      requestHandler: { connectionTimeout: Math.min(10_000, options.silenceMs), socketTimeout: options.silenceMs },
    })
  }

  /** Runs `request`, again with back-off while what it rejects with may pass; rejects with a KtsError. */
  async retried<T>(
    action: string,
    key: string,
    request: (signal: AbortSignal, attempt: number) => Promise<T>,
  ): Promise<T> {
    const { bucket, region, endpoint, retries, backoffMs } = this.options
    const { clock, random, log, signal } = this.#context
    for (let attempt = 0; ; attempt++) {
      try {
        return await request(signal, attempt)
      } catch (error) {
        const failure = s3Error(action, { bucket, key, region, endpoint }, error)
        // The client has learnt the difference of the clocks from the refusal and signs with it the next time.
        const again = failure.code === 'RETRIABLE' || (failure.code === 'CLOCK_SKEWED' && attempt === 0)
        if (!again || attempt >= retries || signal.aborted) throw failure
        log.debug({ key, attempt, s3Code: s3Code(error) }, 'S3 request failed, trying again')
        const wait = Math.min(BACKOFF_MAX_MS, backoffMs * 2 ** attempt) * (0.5 + random.next() / 2)
        await sleep(clock, wait, signal)
      }
    }
  }
}

class S3Store implements ObjectStore {
  readonly place: string
  readonly #requests: S3Requests
  readonly #log: Logger

  constructor(sdk: Sdk, options: S3StoreOptions, context: StoreContext) {
    this.place = `s3://${options.bucket}`
    this.#requests = new S3Requests(sdk, options, context)
    this.#log = context.log
  }

  create(key: string): ObjectWriter {
    return new S3Object(this.#requests, key)
  }

  /** Where the listing is not permitted, unfinished uploads stay until the bucket's lifecycle rule removes them. */
  async sweep(own: (name: string) => boolean): Promise<number> {
    const { bucket } = this.#requests.options
    let swept = 0
    try {
      for await (const { key, id } of this.#unfinished()) {
        if (!own(key.slice(key.lastIndexOf('/') + 1))) continue
        await this.#abort(key, id)
        swept++
      }
    } catch (error) {
      if (!['ACCESS_DENIED', 'S3_REFUSED'].includes(errorCode(error))) throw error
      // In short, for it comes with every start of the task; an upload that may not be says all of it.
      const { s3Code: said } = (error as KtsError).details ?? {}
      const facts = { bucket, s3Code: said, needs: 's3:ListBucketMultipartUploads, s3:AbortMultipartUpload' }
      this.#log.warn(facts, 'unfinished uploads of an earlier run cannot be removed; they may stay')
    }
    return swept
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const writer = this.create(key)
    await writer.write(bytes)
    await writer.commit()
  }

  async get(key: string): Promise<Buffer | undefined> {
    const { sdk, client, options } = this.#requests
    return await this.#requests.retried('get', key, async abortSignal => {
      try {
        const command = new sdk.GetObjectCommand({ Bucket: options.bucket, Key: key })
        const { Body } = await client.send(command, { abortSignal })
        return Buffer.from((await Body?.transformToByteArray()) ?? [])
      } catch (error) {
        if (s3Code(error) === 'NoSuchKey') return undefined
        throw error
      }
    })
  }

  async delete(key: string): Promise<void> {
    const { sdk, client, options } = this.#requests
    await this.#requests.retried('delete', key, abortSignal =>
      client.send(new sdk.DeleteObjectCommand({ Bucket: options.bucket, Key: key }), { abortSignal }),
    )
  }

  async close(): Promise<void> {
    this.#requests.client.destroy()
  }

  async *#unfinished(): AsyncGenerator<{ key: string; id: string }> {
    const { sdk, client, options } = this.#requests
    let after: { KeyMarker?: string; UploadIdMarker?: string } = {}
    for (;;) {
      const command = new sdk.ListMultipartUploadsCommand({ Bucket: options.bucket, Prefix: options.prefix, ...after })
      const page = await this.#requests.retried('list uploads', options.prefix, abortSignal =>
        client.send(command, { abortSignal }),
      )
      for (const { Key, UploadId } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined) yield { key: Key, id: UploadId }
      }
      if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return
      after = { KeyMarker: page.NextKeyMarker }
      if (page.NextUploadIdMarker !== undefined) after.UploadIdMarker = page.NextUploadIdMarker
    }
  }

  async #abort(key: string, id: string): Promise<void> {
    const { sdk, client, options } = this.#requests
    await this.#requests.retried('abort the upload of', key, async abortSignal => {
      try {
        const command = new sdk.AbortMultipartUploadCommand({ Bucket: options.bucket, Key: key, UploadId: id })
        await client.send(command, { abortSignal })
      } catch (error) {
        if (s3Code(error) !== 'NoSuchUpload') throw error
      }
    })
  }
}
