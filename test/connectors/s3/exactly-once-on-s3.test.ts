import type { S3Client } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeFiles } from '../../../runtime/api/index.ts'
import { type S3Server, skipLoudly, startS3Server } from '../../support/s3-server.ts'
import { anyConfig, liveToTheEnd, livesUnder, numbersOf, someRecords } from './histories.ts'
import { type Given, KilledSink, type KillSwitch, type Place } from './killed-sink.ts'
import { KillingProxy } from './killing-proxy.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)

let server: S3Server | undefined
let proxy: KillingProxy
let proxied = ''
let sdk: typeof import('@aws-sdk/client-s3')
let client: S3Client

beforeAll(async () => {
  const started = await startS3Server()
  if (skipLoudly(started)) return
  server = started
  proxy = new KillingProxy(started.endpoint)
  proxied = await proxy.start()
  sdk = await import('@aws-sdk/client-s3')
  const { region, endpoint, accessKeyId, secretAccessKey } = started
  client = new sdk.S3Client({ region, endpoint, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
})
afterAll(async () => {
  await proxy?.stop()
  await server?.stop()
})

/** A bucket of a real server; the task reaches it through the proxy. */
class BucketPlace implements Place {
  readonly files = nodeFiles
  readonly options: Given
  readonly #bucket: string

  constructor(bucket: string, { region, accessKeyId, secretAccessKey }: S3Server) {
    this.#bucket = bucket
    this.options = {
      'store.url': proxied,
      's3.bucket.name': bucket,
      's3.region': region,
      'aws.access.key.id': accessKeyId,
      'aws.secret.access.key': secretAccessKey,
      's3.part.retries': 0,
    }
  }

  begin(calls: KillSwitch): void {
    proxy.begin(calls)
  }

  bury(): Promise<void> {
    return proxy.settled()
  }

  async objects(): Promise<ReadonlyMap<string, Buffer>> {
    const { Contents } = await client.send(new sdk.ListObjectsV2Command({ Bucket: this.#bucket }))
    const found = new Map<string, Buffer>()
    for (const { Key } of Contents ?? []) {
      const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket: this.#bucket, Key }))
      found.set(Key!, Buffer.from((await Body?.transformToByteArray()) ?? []))
    }
    return found
  }
}

test('on a real S3 server, whichever request a task does not survive: every record is in exactly one object', async run => {
  if (server === undefined) return run.skip()
  let buckets = 0
  await fc.assert(
    fc.asyncProperty(someRecords, livesUnder(anyConfig), anyConfig, async (all, lives, last) => {
      const bucket = `kts-once-${process.pid}-${buckets++}`
      await client.send(new sdk.CreateBucketCommand({ Bucket: bucket }))
      const sink = new KilledSink(all, true, new BucketPlace(bucket, server!))
      const sooner = lives.map(life => ({ ...life, killAt: Math.ceil(life.killAt / 5) }))
      await liveToTheEnd(sink, sooner, last)
      expect(await sink.delivered()).toEqual(numbersOf(all, value => value === 'line'))
    }),
    { seed: SEED, numRuns: 12 },
  )
})
