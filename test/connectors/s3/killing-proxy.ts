import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { KillSwitch } from './killed-sink.ts'

/**
 * Stands before an HTTP server and asks a KillSwitch about every request. The one that its client does not survive is cut
 * off, before the server hears of it or once it has answered; then nothing passes any more.
 */
export class KillingProxy {
  readonly #target: URL
  readonly #server: Server
  readonly #underWay = new Set<Promise<unknown>>()
  #calls: KillSwitch | undefined

  constructor(target: string) {
    this.#target = new URL(target)
    this.#server = createServer((asked, answer) => this.#pass(asked, answer))
  }

  /** Answers its address. */
  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  begin(calls: KillSwitch): void {
    this.#calls = calls
  }

  /** Resolves when the server has nothing to do for a client any more. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const work = this.#forward(asked, answer).catch(() => answer.destroy())
    this.#underWay.add(work)
    work.finally(() => this.#underWay.delete(work))
  }

  async #forward(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body: Buffer[] = []
    for await (const chunk of asked) body.push(chunk)
    const { status, headers, bytes } = await this.#calls!.call(() => this.#ask(asked, Buffer.concat(body)))
    answer.writeHead(status, headers).end(bytes)
  }

  #ask({ method, url, headers }: IncomingMessage, body: Buffer) {
    const { hostname, port } = this.#target
    // The host of the request is part of its signature.
    const sent = { hostname, port, method, path: url, headers }
    return new Promise<{ status: number; headers: IncomingMessage['headers']; bytes: Buffer }>((resolve, reject) => {
      const upstream = request(sent, async answer => {
        const bytes: Buffer[] = []
        for await (const chunk of answer) bytes.push(chunk)
        resolve({ status: answer.statusCode!, headers: answer.headers, bytes: Buffer.concat(bytes) })
      })
      upstream.once('error', reject)
      upstream.end(body)
    })
  }
}
