import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { S3Client } from '@aws-sdk/client-s3'
import { type Random, randomInt } from '../../base/index.ts'
import { type S3Server, startS3Server } from '../support/s3-server.ts'
import { linesLoad } from './main-suite.ts'
import type { Load, Suite } from './suite.ts'

const BUCKET = 'integrity'
/** Steps of the load between two crashes of the store: some seconds. */
const CRASH_ONCE_IN = 250

let started: Promise<S3Server | { readonly missing: string }> | undefined

/** The main job on a real S3 server, which is killed now and then as well. */
export const objectsS3Suite: Suite = {
  name: 'objects-s3',
  doc: 'file → log → bucket of a real S3 server',
  recordsMin: 100_000,
  async missing() {
    started ??= startS3Server()
    const server = await started
    return 'missing' in server ? server.missing : undefined
  },
  async prepare(directory, random) {
    started ??= startS3Server()
    const server = await started
    if ('missing' in server) throw new Error(server.missing)
    const mirror = await Mirror.open(server, join(directory, 'mirror'))
    const load = linesLoad(directory, random, {
      sink: [
        `store.url: "${server.endpoint}", s3.bucket.name: ${BUCKET}, s3.region: ${server.region}`,
        `aws.access.key.id: ${server.accessKeyId}, aws.secret.access.key: ${server.secretAccessKey}`,
        's3.retry.backoff.ms: 50ms, format: text, compression: gzip, flush.size: 2000, rotate.idle.ms: 1s',
      ].join(', '),
      objects: 'mirror',
    })
    return crashing(load, server, mirror, random)
  },
}

function crashing(load: Load, server: S3Server, mirror: Mirror, random: Random): Load {
  return {
    config: load.config,
    get written() {
      return load.written
    },
    async step() {
      await load.step()
      if (randomInt(random, CRASH_ONCE_IN) === 0) await server.crash?.()
    },
    known: () => load.known(),
    finish: () => load.finish(),
    async check() {
      await mirror.refresh()
      return await load.check()
    },
    async close() {
      mirror.close()
      started = undefined
      await server.stop()
    },
  }
}

/** The bucket's objects as files, as a user would get them: one is fetched again when its ETag or time has changed. */
class Mirror {
  readonly #sdk: typeof import('@aws-sdk/client-s3')
  readonly #client: S3Client
  readonly #folder: string
  readonly #versions = new Map<string, string>()

  private constructor(sdk: typeof import('@aws-sdk/client-s3'), client: S3Client, folder: string) {
    this.#sdk = sdk
    this.#client = client
    this.#folder = folder
  }

  static async open({ region, endpoint, ...keys }: S3Server, folder: string): Promise<Mirror> {
    const sdk = await import('@aws-sdk/client-s3')
    const credentials = { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey }
    const client = new sdk.S3Client({ region, endpoint, forcePathStyle: true, credentials })
    await client.send(new sdk.CreateBucketCommand({ Bucket: BUCKET }))
    return new Mirror(sdk, client, folder)
  }

  async refresh(): Promise<void> {
    const found = new Map<string, string>()
    let after: string | undefined
    do {
      const page = await this.#client.send(
        new this.#sdk.ListObjectsV2Command({ Bucket: BUCKET, ContinuationToken: after }),
      )
      for (const { Key, ETag, LastModified } of page.Contents ?? []) {
        found.set(Key!, `${ETag} ${LastModified?.toISOString()}`)
      }
      after = page.NextContinuationToken
    } while (after !== undefined)
    for (const key of this.#versions.keys()) if (!found.has(key)) rmSync(join(this.#folder, key))
    for (const [key, version] of found) if (this.#versions.get(key) !== version) await this.#fetch(key)
    this.#versions.clear()
    for (const [key, version] of found) this.#versions.set(key, version)
  }

  close(): void {
    this.#client.destroy()
  }

  async #fetch(key: string): Promise<void> {
    const { Body } = await this.#client.send(new this.#sdk.GetObjectCommand({ Bucket: BUCKET, Key: key }))
    const path = join(this.#folder, key)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, (await Body?.transformToByteArray()) ?? '')
  }
}
