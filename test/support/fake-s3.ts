import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a request wants, as S3 names it. */
export type Operation =
  | 'PutObject'
  | 'GetObject'
  | 'HeadObject'
  | 'DeleteObject'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListMultipartUploads'

/**
 * What happens instead of, or behind, the right answer.
 * `after` does the work first and then misbehaves; without it nothing is done.
 */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly body: string; readonly after?: boolean }
  | { readonly kind: 'reset'; readonly after?: boolean }
  | { readonly kind: 'silence'; readonly after?: boolean }

export const errorXml = (code: string, message = 'injected') =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message><RequestId>REQ1</RequestId></Error>`

/** As much of S3 as the sink speaks, in memory, with a script of faults. Checks Content-MD5, not signatures. */
export class FakeS3 {
  readonly objects = new Map<string, Buffer>()
  readonly #etags = new Map<string, string>()
  /** How often each key was replaced or made. */
  readonly writes = new Map<string, number>()
  readonly uploads = new Map<string, { readonly key: string; readonly parts: Map<number, Buffer> }>()
  readonly requests: { readonly operation: Operation; readonly key: string }[] = []
  /** Asked for each request; the nth counts requests of that operation from 1. */
  fault: (operation: Operation, nth: number, key: string) => Fault | undefined = () => undefined
  /** A request waits for this before anything is done. */
  hold: (operation: Operation) => Promise<void> | undefined = () => undefined
  /** What is kept instead of what was sent. */
  alter: (bytes: Buffer) => Buffer = bytes => bytes
  readonly #server: Server
  readonly #counts = new Map<Operation, number>()

  constructor() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy())
    })
  }

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://x')
    const [, , ...parts] = url.pathname.split('/')
    const key = decodeURIComponent(parts.join('/'))
    const operation = operationOf(request.method ?? '', url.searchParams, key)
    const nth = (this.#counts.get(operation) ?? 0) + 1
    this.#counts.set(operation, nth)
    this.requests.push({ operation, key })
    const fault = this.fault(operation, nth, key)
    if (fault?.kind === 'reset' && fault.after !== true) {
      request.once('data', () => request.socket.destroy())
      request.once('end', () => request.socket.destroy())
      return
    }
    const body = await bodyOf(request)
    await this.hold(operation)
    const answer =
      fault !== undefined && fault.after !== true ? undefined : this.#do(operation, key, url, request, body)
    if (fault?.kind === 'silence') return
    if (fault?.kind === 'reset') return void request.socket.destroy()
    const told = fault?.kind === 'status' ? { status: fault.status, headers: {}, body: fault.body } : answer!
    response.writeHead(told.status, { 'x-amz-request-id': 'REQ1', ...told.headers })
    response.end(told.body)
  }

  #do(operation: Operation, key: string, url: URL, request: IncomingMessage, body: Buffer): Answer {
    const sent = request.headers['content-md5']
    if (sent !== undefined && sent !== createHash('md5').update(body).digest('base64')) return failed(400, 'BadDigest')
    const uploadId = url.searchParams.get('uploadId') ?? ''
    switch (operation) {
      case 'PutObject':
        return this.#store(key, this.alter(body), md5(this.alter(body)))
      case 'GetObject':
      case 'HeadObject':
        return this.#read(key, operation === 'HeadObject')
      case 'DeleteObject':
        this.objects.delete(key)
        return { status: 204, headers: {}, body: '' }
      case 'CreateMultipartUpload': {
        const id = randomUUID()
        this.uploads.set(id, { key, parts: new Map() })
        return ok(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
      }
      case 'UploadPart':
        return this.#part(uploadId, Number(url.searchParams.get('partNumber')), body)
      case 'CompleteMultipartUpload':
        return this.#complete(uploadId, body)
      case 'AbortMultipartUpload':
        return this.uploads.delete(uploadId) ? { status: 204, headers: {}, body: '' } : failed(404, 'NoSuchUpload')
      case 'ListMultipartUploads':
        return ok(
          `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${this.#listed()}</ListMultipartUploadsResult>`,
        )
    }
  }

  #store(key: string, bytes: Buffer, etag: string): Answer {
    this.objects.set(key, bytes)
    this.#etags.set(key, etag)
    this.writes.set(key, (this.writes.get(key) ?? 0) + 1)
    return { status: 200, headers: { etag: `"${etag}"` }, body: '' }
  }

  #read(key: string, headOnly: boolean): Answer {
    const bytes = this.objects.get(key)
    if (bytes === undefined) return failed(404, headOnly ? 'NotFound' : 'NoSuchKey')
    return { status: 200, headers: { etag: `"${this.#etags.get(key)}"` }, body: headOnly ? '' : bytes }
  }

  #part(uploadId: string, number: number, body: Buffer): Answer {
    const upload = this.uploads.get(uploadId)
    if (upload === undefined) return failed(404, 'NoSuchUpload')
    upload.parts.set(number, body)
    return { status: 200, headers: { etag: `"${md5(body)}"` }, body: '' }
  }

  #complete(uploadId: string, body: Buffer): Answer {
    const upload = this.uploads.get(uploadId)
    if (upload === undefined) return failed(404, 'NoSuchUpload')
    const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(match => Number(match[1]))
    const parts = numbers.map(number => upload.parts.get(number))
    if (parts.some(part => part === undefined)) return failed(400, 'InvalidPart')
    const whole = parts as Buffer[]
    const etag = `${createHash('md5')
      .update(Buffer.concat(whole.map(part => createHash('md5').update(part).digest())))
      .digest('hex')}-${whole.length}`
    this.uploads.delete(uploadId)
    this.#store(upload.key, Buffer.concat(whole), etag)
    return ok(
      `<CompleteMultipartUploadResult><Key>${upload.key}</Key><ETag>"${etag}"</ETag></CompleteMultipartUploadResult>`,
    )
  }

  #listed(): string {
    return [...this.uploads]
      .map(([id, { key }]) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`)
      .join('')
  }
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string | Buffer
}

function operationOf(method: string, query: URLSearchParams, key: string): Operation {
  if (method === 'PUT') return query.has('uploadId') ? 'UploadPart' : 'PutObject'
  if (method === 'POST') return query.has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload'
  if (method === 'DELETE') return query.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
  if (method === 'HEAD') return 'HeadObject'
  return key === '' ? 'ListMultipartUploads' : 'GetObject'
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const ok = (body: string): Answer => ({ status: 200, headers: { 'content-type': 'application/xml' }, body })
const failed = (status: number, code: string): Answer => ({ status, headers: {}, body: errorXml(code) })
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')
