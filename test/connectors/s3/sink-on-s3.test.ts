import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { S3Options } from '../../../connectors/s3/options.ts'
import { s3Sink } from '../../../connectors/s3/sink.ts'
import { loadCodec, nodeFiles, SeededRandom, systemClock } from '../../../runtime/api/index.ts'
import { type S3Server, skipLoudly, startS3Server } from '../../support/s3-server.ts'
import { optionsOf } from '../../support/s3-sink.ts'
import { packedBatch } from '../../support/sink-batches.ts'
import { testContext } from '../../support/task-context.ts'

const BUCKET = `kts-sink-${process.pid}`

let server: S3Server | undefined
let sdk: typeof import('@aws-sdk/client-s3')
let client: S3Client

beforeAll(async () => {
  const started = await startS3Server()
  if (skipLoudly(started)) return
  server = started
  sdk = await import('@aws-sdk/client-s3')
  const { region, endpoint, accessKeyId, secretAccessKey } = started
  client = new sdk.S3Client({ region, endpoint, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  await client.send(new sdk.CreateBucketCommand({ Bucket: BUCKET }))
})
afterAll(async () => {
  await server?.stop()
})

function onServer(given: Partial<S3Options> = {}): S3Options {
  return optionsOf({
    'store.url': server!.endpoint,
    's3.bucket.name': BUCKET,
    's3.region': server!.region,
    'aws.access.key.id': server!.accessKeyId,
    'aws.secret.access.key': server!.secretAccessKey,
    's3.part.retries': 0,
    ...given,
  })
}

const context = () => testContext({ files: nodeFiles, clock: systemClock })

/** A real server or nothing: what runs against a fake stands in s3-faults.test.ts. */
const onS3 = (title: string, body: () => Promise<void>) =>
  test(title, async run => (server === undefined ? run.skip() : body()))

async function keysUnder(prefix: string): Promise<string[]> {
  const { Contents } = await client.send(new sdk.ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix }))
  return (Contents ?? []).map(({ Key }) => Key ?? '')
}

async function objectAt(key: string): Promise<Buffer> {
  const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket: BUCKET, Key: key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

onS3('check puts, gets and deletes where the objects will lie, and leaves nothing', async () => {
  await s3Sink.check!(onServer({ 'topics.dir': 'checked' }), context())
  expect(await keysUnder('checked')).toEqual([])
})

onS3('a missing bucket and wrong credentials are said as such, by check and by the task', async () => {
  await expect(s3Sink.check!(onServer({ 's3.bucket.name': 'not-there' }), context())).rejects.toMatchObject({
    code: 'BUCKET_MISSING',
    message: expect.stringMatching(/not-there.*NoSuchBucket.*create the bucket/),
  })
  await expect(s3Sink.check!(onServer({ 'aws.secret.access.key': 'wrong' }), context())).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    message: expect.stringMatching(/SignatureDoesNotMatch.*aws.secret.access.key/),
  })
  const task = await s3Sink.open(onServer({ 's3.bucket.name': 'not-there' }), context())
  await expect(task.open([{ topic: 't', partition: 0, offset: 0, state: null }])).rejects.toMatchObject({
    code: 'BUCKET_MISSING',
  })
})

onS3(
  'a task that was killed in the middle of an upload: the next one sweeps it and writes the same object',
  async () => {
    const given = { 'topics.dir': 'killed', 's3.part.size': 5 << 20, 's3.compression.type': 'gzip' } as const
    const random = new SeededRandom(3)
    // Bytes that do not compress, so that parts go up while the object is open.
    const values = Array.from({ length: 200 }, () => random.bytes(60_000).toString('base64'))
    const put = async (task: Awaited<ReturnType<typeof s3Sink.open>>) => {
      await task.open([{ topic: 't', partition: 0, offset: 5, state: null }])
      for (let i = 0; i < values.length; i += 20) {
        await task.put([packedBatch(values.slice(i, i + 20), { offset: 5 + i })])
      }
    }
    const first = await s3Sink.open(onServer(given), context())
    await put(first)
    const uploads = () => client.send(new sdk.ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: 'killed/' }))
    // Twelve megabytes are two whole parts. Both must have arrived: one under way behind an abort may revive the upload.
    const parts = async () => {
      const upload = (await uploads()).Uploads?.[0]
      if (upload?.Key === undefined || upload.UploadId === undefined) return 0
      const listed = await client.send(
        new sdk.ListPartsCommand({ Bucket: BUCKET, Key: upload.Key, UploadId: upload.UploadId }),
      )
      return listed.Parts?.length ?? 0
    }
    await expect.poll(parts, { timeout: 20_000 }).toBe(2)
    expect((await first.preCommit())[0]?.offset).toBe(5)
    // No close: this is what a kill leaves.
    const second = await s3Sink.open(onServer(given), context())
    await put(second)
    await second.drain()
    expect((await second.preCommit())[0]?.offset).toBe(205)
    await second.close()
    expect((await uploads()).Uploads ?? []).toEqual([])
    expect(await keysUnder('killed/')).toEqual(['killed/t/partition=0/t+0+0000000005.txt.gz'])
    const text = await (await loadCodec('gzip')).decompress(
      await objectAt('killed/t/partition=0/t+0+0000000005.txt.gz'),
      1 << 30,
    )
    expect(text.equals(Buffer.from(`${values.join('\n')}\n`))).toBe(true)
  },
)
