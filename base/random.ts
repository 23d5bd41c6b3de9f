import { randomBytes } from 'node:crypto'

/** Randomness comes in as an argument, so that a seed replays a run. */
export interface Random {
  /** In [0, 1). */
  next(): number
  bytes(length: number): Buffer
}

export const systemRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bytes: length => randomBytes(length),
}

/** An integer in [0, below). */
export function randomInt(random: Random, below: number): number {
  return Math.floor(random.next() * below)
}

/** A random identifier: 128 bits in base64url without padding (22 characters), Kafka's form of a UUID. */
export function randomId(random: Random): string {
  return random.bytes(16).toString('base64url')
}

/** xorshift128: small, fast, and the same on every machine for one seed. Not for secrets. */
export class SeededRandom implements Random {
  readonly #state: Uint32Array

  constructor(seed: number) {
    // splitmix32 spreads a small seed over the state, which must not be all zero.
    let x = seed >>> 0
    this.#state = Uint32Array.from({ length: 4 }, () => {
      x = (x + 0x9e3779b9) >>> 0
      let z = x
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      return (z ^ (z >>> 16)) >>> 0
    })
    if (this.#state.every(word => word === 0)) this.#state[0] = 1
  }

  #word(): number {
    const s = this.#state
    let t = s[3]!
    t ^= t << 11
    t ^= t >>> 8
    s[3] = s[2]!
    s[2] = s[1]!
    s[1] = s[0]!
    s[0] = (t ^ s[0]! ^ (s[0]! >>> 19)) >>> 0
    return s[0]!
  }

  next(): number {
    return this.#word() / 2 ** 32
  }

  bytes(length: number): Buffer {
    const out = Buffer.alloc(length)
    for (let i = 0; i < length; i++) out[i] = this.#word() & 0xff
    return out
  }
}
