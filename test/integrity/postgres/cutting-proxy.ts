import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type Random, randomInt } from '../../../base/index.ts'

/** So many bytes, both ways together, a connection gets to at most. */
export const BYTES_MAX = 1 << 19
/** One in so many is cut among its first bytes, while it is being made. */
const EARLY = 20
const EARLY_BYTES = 500
/** One in so many gets further, where that is allowed: a large transaction comes through in one connection or never. */
const LONG = 3
const LONG_BYTES = 16 << 20

/** Passes bytes on to a port of this host, and cuts each connection somewhere among them when it is asked to. */
export class CuttingProxy {
  readonly #random: Random
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #target = 0
  #cuts: 'none' | 'short' | 'mixed' = 'none'
  /** Connections that were cut among their bytes. */
  cutCount = 0

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

  /** Also those that are idle. */
  cutAll(): void {
    for (const pair of this.#pairs) this.#cut(pair)
  }

  /** Where new connections go. */
  turnTo(port: number): void {
    this.#target = port
  }

  /** At first it only passes on (`none`); `short` cuts all of them, `mixed` lets one in three get further, from now on. */
  set cuts(cuts: 'none' | 'short' | 'mixed') {
    this.#cuts = cuts
  }

  async close(): Promise<void> {
    this.cutAll()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #bytes(): number {
    if (randomInt(this.#random, EARLY) === 0) return randomInt(this.#random, EARLY_BYTES)
    const isLong = this.#cuts === 'mixed' && randomInt(this.#random, LONG) === 0
    return randomInt(this.#random, isLong ? LONG_BYTES : BYTES_MAX)
  }

  #pass(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const pair = [client, server] as const
    this.#pairs.add(pair)
    const cuttable = this.#cuts !== 'none'
    let left = this.#bytes()
    const passOn = (from: Socket, to: Socket) => {
      from.on('data', chunk => {
        left -= chunk.length
        if (!cuttable || this.#cuts === 'none' || left > 0) {
          if (!to.write(chunk)) from.pause()
        } else if (left + chunk.length > 0) {
          // What is in front of the cut still comes: the other side sees half a message.
          this.cutCount++
          to.write(chunk.subarray(0, left + chunk.length), () => this.#cut(pair))
        }
      })
      to.on('drain', () => from.resume())
    }
    passOn(server, client)
    passOn(client, server)
    for (const socket of pair) {
      socket.on('error', () => this.#cut(pair))
      socket.on('close', () => this.#cut(pair))
    }
  }

  /** Half of them as a reset, the others as an end. */
  #cut(pair: readonly [Socket, Socket]): void {
    if (!this.#pairs.delete(pair)) return
    const resets = randomInt(this.#random, 2) === 0
    for (const socket of pair) {
      if (resets) socket.resetAndDestroy()
      else socket.destroy()
    }
  }
}
