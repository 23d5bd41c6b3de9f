import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { DirectoryStore } from '../../../connectors/s3/directory-store.ts'
import { openS3Store, type S3StoreOptions } from '../../../connectors/s3/s3-store.ts'
import { nodeFiles, SeededRandom, systemClock } from '../../../runtime/api/index.ts'
import { objectStoreContract } from '../../contract/object-store.ts'
import { type S3Server, skipLoudly, startS3Server } from '../../support/s3-server.ts'
import { testContext } from '../../support/task-context.ts'

const root = mkdtempSync(join(tmpdir(), 'kts-objects-'))

objectStoreContract(
  'directory',
  async () => ({
    name: 'directory',
    open: async () => new DirectoryStore(nodeFiles, join(root, 'exports'), 'topics/'),
    keys: async () => filesUnder(join(root, 'exports')),
  }),
  async () => rmSync(root, { recursive: true, force: true }),
)

const memory = new MemoryFiles(new SeededRandom(1))

objectStoreContract(
  'directory in memory',
  async () => ({
    name: 'memory',
    open: async () => new DirectoryStore(memory, '/exports', 'topics/'),
    keys: () => filesInMemory('/exports'),
  }),
  async () => {},
)

let server: S3Server | undefined

objectStoreContract(
  's3',
  async () => {
    const started = await startS3Server()
    if (skipLoudly(started)) return undefined
    server = started
    console.log(`S3 server: ${started.name}`)
    const options = s3Options(started, `kts-${Math.random().toString(36).slice(2)}`)
    const sdk = await import('@aws-sdk/client-s3')
    const client = new sdk.S3Client({
      region: options.region,
      endpoint: options.endpoint!,
      forcePathStyle: true,
      credentials: options.credentials!,
    })
    await client.send(new sdk.CreateBucketCommand({ Bucket: options.bucket }))
    return {
      name: 's3',
      open: () => openS3Store(options, testContext({ clock: systemClock })),
      keys: async () => {
        const { Contents } = await client.send(new sdk.ListObjectsV2Command({ Bucket: options.bucket }))
        return (Contents ?? []).map(({ Key }) => Key ?? '')
      },
      arrived: async key => {
        const at = { Bucket: options.bucket, Prefix: key }
        const { Uploads } = await client.send(new sdk.ListMultipartUploadsCommand(at))
        const upload = { Bucket: options.bucket, Key: key, UploadId: Uploads?.[0]?.UploadId }
        await expect.poll(async () => (await client.send(new sdk.ListPartsCommand(upload))).Parts?.length).toBe(1)
      },
    }
  },
  async () => server?.stop(),
)

function s3Options(from: S3Server, bucket: string): S3StoreOptions {
  return {
    bucket,
    region: from.region,
    endpoint: from.endpoint,
    credentials: { accessKeyId: from.accessKeyId, secretAccessKey: from.secretAccessKey },
    prefix: 'topics/',
    partSize: 5 << 20,
    retries: 2,
    backoffMs: 10,
    silenceMs: 10_000,
  }
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.parentPath.includes('.unfinished'))
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
}

async function filesInMemory(folder: string, below = ''): Promise<string[]> {
  const found: string[] = []
  for (const name of await memory.list(`${folder}/${below}`)) {
    const key = `${below}${name}`
    if (name === '.unfinished') continue
    if ((await memory.stat(`${folder}/${key}`)).kind === 'file') found.push(key)
    else found.push(...(await filesInMemory(folder, `${key}/`)))
  }
  return found
}
