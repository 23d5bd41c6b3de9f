import { afterEach, describe, expect, test } from 'vitest'
import type { ObjectStore } from '../../../connectors/s3/object-store.ts'
import { openS3Store } from '../../../connectors/s3/s3-store.ts'
import { s3Sink } from '../../../connectors/s3/sink.ts'
import { reactionTo, SeededRandom, systemClock } from '../../../runtime/api/index.ts'
import { errorXml, FakeS3, type Fault, type Operation } from '../../support/fake-s3.ts'
import { optionsOf } from '../../support/s3-sink.ts'
import { packedBatch } from '../../support/sink-batches.ts'
import { testContext } from '../../support/task-context.ts'

const PART = 5 << 20
const KEY = 'topics/t/partition=0/t+0+0000000000.json'

let fake: FakeS3
const stores: ObjectStore[] = []

async function openFake(options: { retries?: number; silenceMs?: number } = {}): Promise<ObjectStore> {
  fake = new FakeS3()
  const endpoint = await fake.start()
  const store = await openS3Store(
    {
      bucket: 'logs',
      region: 'us-east-1',
      endpoint,
      credentials: { accessKeyId: 'a', secretAccessKey: 'planted-secret' },
      prefix: 'topics/',
      partSize: PART,
      retries: options.retries ?? 3,
      backoffMs: 1,
      silenceMs: options.silenceMs ?? 5000,
    },
    testContext({ clock: systemClock }),
  )
  stores.push(store)
  return store
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  await fake.stop()
})

async function writeObject(store: ObjectStore, bytes: Buffer, key = KEY): Promise<void> {
  const writer = store.create(key)
  for (let at = 0; at < bytes.length; at += 1 << 20) await writer.write(bytes.subarray(at, at + (1 << 20)))
  await writer.commit()
}

/** The fault for the first requests of one operation. */
function firstTimes(operation: Operation, times: number, fault: Fault) {
  return (asked: Operation, nth: number) => (asked === operation && nth <= times ? fault : undefined)
}

const passing: Record<string, Fault> = {
  '500': { kind: 'status', status: 500, body: errorXml('InternalError') },
  '503 SlowDown': { kind: 'status', status: 503, body: errorXml('SlowDown') },
  429: { kind: 'status', status: 429, body: errorXml('TooManyRequests') },
  'an HTML page from a proxy, 502': { kind: 'status', status: 502, body: '<html><body>Bad Gateway</body></html>' },
  'an empty 200': { kind: 'status', status: 200, body: '' },
  'a truncated 200': { kind: 'status', status: 200, body: '<?xml version="1.0"?><CompleteMultipartUplo' },
  '200 with an error in the body': { kind: 'status', status: 200, body: errorXml('InternalError') },
  'reset in the middle of the body': { kind: 'reset' },
  'reset behind the work': { kind: 'reset', after: true },
  'a lost answer': { kind: 'status', status: 504, body: '', after: true },
}

describe('a fault that passes costs a repetition, and there is one object with the right bytes', () => {
  for (const [name, fault] of Object.entries(passing)) {
    for (const operation of ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const) {
      test(`${operation}: ${name}`, async () => {
        const store = await openFake()
        const bytes = new SeededRandom(5).bytes(operation === 'PutObject' ? 1000 : 2 * PART + 99)
        fake.fault = firstTimes(operation, 2, fault)
        await writeObject(store, bytes)
        expect([...fake.objects.keys()]).toEqual([KEY])
        expect(fake.objects.get(KEY)?.equals(bytes)).toBe(true)
        expect(fake.requests.filter(request => request.operation === operation).length).toBeGreaterThan(1)
      })
    }
  }
})

test('a server that says nothing is dropped after the time allowed, and asked again', async () => {
  const store = await openFake({ silenceMs: 200 })
  fake.fault = firstTimes('PutObject', 1, { kind: 'silence', after: true })
  await writeObject(store, Buffer.from('x'))
  expect(fake.writes.get(KEY)).toBe(2)
  expect(fake.objects.get(KEY)?.toString()).toBe('x')
})

test('a commit that failed is not reported, and the same writer commits when the store is back', async () => {
  const store = await openFake({ retries: 1 })
  let down = true
  fake.fault = () => (down ? { kind: 'status', status: 503, body: errorXml('ServiceUnavailable') } : undefined)
  const bytes = new SeededRandom(6).bytes(3 * PART + 17)
  const writer = store.create(KEY)
  const chunks = Array.from({ length: 16 }, (_, i) => bytes.subarray(i << 20, (i + 1) << 20)).filter(c => c.length > 0)
  let failures = 0
  for (const chunk of chunks) {
    for (;;) {
      try {
        await writer.write(chunk)
        break
      } catch (error) {
        failures++
        expect(reactionTo(error)).toBe('retry')
        down = failures % 3 !== 0
      }
    }
    down = true
  }
  await expect(writer.commit()).rejects.toMatchObject({ code: 'RETRIABLE' })
  expect(fake.objects.size).toBe(0)
  down = false
  await writer.commit()
  expect(failures).toBeGreaterThan(0)
  expect(fake.objects.get(KEY)?.equals(bytes)).toBe(true)
  expect(fake.uploads.size).toBe(0)
})

test('an answer whose ETag is of other bytes is no success', async () => {
  const store = await openFake({ retries: 0 })
  fake.alter = bytes => Buffer.concat([bytes, Buffer.from('!')])
  await expect(writeObject(store, Buffer.from('x'))).rejects.toMatchObject({
    code: 'RETRIABLE',
    message: expect.stringContaining('ETag'),
  })
})

describe('what cannot pass is said once, with bucket, key, code, request id and what to do', () => {
  const permanent: readonly [string, number, string, string][] = [
    ['AccessDenied', 403, 'ACCESS_DENIED', 's3:PutObject'],
    ['SignatureDoesNotMatch', 403, 'ACCESS_DENIED', 'aws.secret.access.key'],
    ['InvalidAccessKeyId', 403, 'ACCESS_DENIED', 'aws.access.key.id'],
    ['NoSuchBucket', 404, 'BUCKET_MISSING', 'create the bucket'],
    ['InvalidBucketName', 400, 'CONFIG_INVALID', 'mend s3.bucket.name'],
    ['PermanentRedirect', 301, 'CONFIG_INVALID', 's3.region'],
    ['AuthorizationHeaderMalformed', 400, 'CONFIG_INVALID', 's3.region'],
    ['ExpiredToken', 400, 'CREDENTIALS_EXPIRED', 'session token'],
    ['RequestTimeTooSkewed', 403, 'CLOCK_SKEWED', 'clock'],
    ['NotImplemented', 501, 'S3_REFUSED', 'refused'],
  ]
  for (const [code, status, ours, hint] of permanent) {
    test(code, async () => {
      const store = await openFake()
      fake.fault = () => ({ kind: 'status', status, body: errorXml(code) })
      const error = await writeObject(store, Buffer.from('x')).catch(e => e)
      expect(error).toMatchObject({ code: ours })
      for (const part of [`s3://logs/${KEY}`, code, hint]) expect(error.message).toContain(part)
      expect(error.message).not.toContain('planted-secret')
      expect(fake.requests.length).toBe(code === 'RequestTimeTooSkewed' ? 2 : 1)
    })
  }
})

test('an upload that a lifecycle rule removed is lost, and said so', async () => {
  const store = await openFake()
  const writer = store.create(KEY)
  for (let i = 0; i < 6; i++) await writer.write(Buffer.alloc(1 << 20))
  await expect.poll(() => [...fake.uploads.values()][0]?.parts.size).toBe(1)
  fake.uploads.clear()
  await expect(writer.commit()).rejects.toMatchObject({ code: 'UPLOAD_LOST' })
})

test('where uploads may not be listed, the sweep goes on without', async () => {
  const store = await openFake()
  fake.fault = () => ({ kind: 'status', status: 403, body: errorXml('AccessDenied') })
  expect(await store.sweep(() => true)).toBe(0)
})

test('a store that hangs holds the puts back: memory stays bounded, and all arrives when it goes on', async () => {
  fake = new FakeS3()
  const options = optionsOf({
    'store.url': await fake.start(),
    's3.bucket.name': 'logs',
    'aws.access.key.id': 'a',
    'aws.secret.access.key': 's',
    's3.part.size': PART,
  })
  const task = await s3Sink.open(options, testContext({ clock: systemClock }))
  await task.open([{ topic: 't', partition: 0, offset: 0, state: null }])
  let release = () => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  fake.hold = operation => (operation === 'UploadPart' ? gate : undefined)
  const mebibyte = 'x'.repeat((1 << 20) - 1)
  let taken = 0
  const all = (async () => {
    for (; taken < 60; taken++) await task.put([packedBatch([mebibyte], { offset: taken })])
  })()
  await expect.poll(() => fake.requests.filter(r => r.operation === 'UploadPart').length).toBe(2)
  for (let i = 0; i < 1000; i++) await new Promise(resolve => setImmediate(resolve))
  // Two parts under way, one that fills, and a few blocks.
  expect(taken).toBeLessThan(20)
  release()
  await all
  await task.drain()
  expect((await task.preCommit())[0]?.offset).toBe(60)
  expect([...fake.objects.values()].map(object => object.length)).toEqual([60 << 20])
  await task.close()
})

test('a store that is down costs no restart: offsets wait, and everything is delivered once it is back', async () => {
  fake = new FakeS3()
  const options = optionsOf({
    'store.url': await fake.start(),
    's3.bucket.name': 'logs',
    'aws.access.key.id': 'a',
    'aws.secret.access.key': 's',
    's3.part.retries': 0,
    'flush.size': 1,
  })
  const context = testContext({ clock: systemClock })
  const task = await s3Sink.open(options, context)
  await task.open([{ topic: 't', partition: 0, offset: 0, state: null }])
  fake.fault = () => ({ kind: 'status', status: 503, body: errorXml('SlowDown') })
  let offset = 0
  for (let refused = 0; refused < 3; ) {
    try {
      await task.put([packedBatch([`line ${offset}`], { offset })])
      offset++
    } catch (error) {
      expect(reactionTo(error)).toBe('retry')
      refused++
    }
    expect((await task.preCommit())[0]?.offset).toBe(0)
  }
  expect(offset).toBeLessThan(20)
  fake.fault = () => undefined
  await task.drain()
  expect((await task.preCommit())[0]?.offset).toBe(offset)
  const lines = [...fake.objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, bytes]) => bytes.toString())
  expect(lines).toEqual(Array.from({ length: offset }, (_, i) => `line ${i}\n`))
  await task.close()
})
