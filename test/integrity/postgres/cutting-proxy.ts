import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type Random, randomInt } from '../../../base/index.ts'

/** Most connections get to some kilobytes to half a megabyte. */
const BYTES_MAX = 1 << 19

/** Passes bytes on to a port of this host, and cuts each connection somewhere among them when it is asked to. */
export class CuttingProxy {
  readonly #random: Random
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #target = 0
  #cuts = false

  constructor(random: Random) {
    this.#random = random
    this.#server = createServer(client => this.#pass(client))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async open(target: number): Promise<void> {
    this.#target = target
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
  }

  cutAll(): void {
    for (const pair of this.#pairs) this.#cut(pair)
  }

  /** Where new connections go. */
  turnTo(port: number): void {
    this.#target = port
  }

  /** Whether it cuts from now on; at first it only passes on. */
  set cuts(cuts: boolean) {
    this.#cuts = cuts
  }

  async close(): Promise<void> {
    this.cutAll()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #pass(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const pair = [client, server] as const
    this.#pairs.add(pair)
    let left = randomInt(this.#random, 20) === 0 ? randomInt(this.#random, 500) : randomInt(this.#random, BYTES_MAX)
    server.on('data', chunk => {
      if (!this.#cuts || chunk.length < left) {
        if (!client.write(chunk)) server.pause()
      } else {
        // What is in front of the cut still comes: the other side sees half a message.
        client.write(chunk.subarray(0, left), () => this.#cut(pair))
      }
      left -= chunk.length
    })
    client.on('drain', () => server.resume())
    client.on('data', chunk => server.write(chunk))
    for (const socket of pair) {
      socket.on('error', () => this.#cut(pair))
      socket.on('close', () => this.#cut(pair))
    }
  }

  #cut(pair: readonly [Socket, Socket]): void {
    this.#pairs.delete(pair)
    for (const socket of pair) socket.destroy()
  }
}
