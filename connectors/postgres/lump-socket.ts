import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net'

const READ_BYTES = 64 << 10
/** Of all sockets: what one has read is taken before another one reads. */
const memory = Buffer.allocUnsafeSlow(READ_BYTES)

type Take = (chunk: Buffer) => void

const takers = new WeakMap<Socket, Take>()

/**
 * A socket like any other, but for the memory that it reads into, which is always the same. By itself Node asks the system
 * for 64 KiB for every read, however little comes, and the collector, which hears of it, runs for that alone.
 */
export function lumpSocket(): Socket {
  const callback = (bytes: number): boolean => {
    const chunk = memory.subarray(0, bytes)
    const take = takers.get(socket)
    // A copy, since whoever listens to a stream may keep what it gives.
    if (take === undefined) return socket.push(Buffer.from(chunk))
    take(chunk)
    return true
  }
  const options: SocketConstructorOpts & ConnectOpts = { onread: { buffer: memory, callback } }
  const socket = new Socket(options)
  return socket
}

/**
 * From now on `take` is given what a `lumpSocket` reads, valid during the call, and nothing is given as data of a stream;
 * undefined: as before. No other socket minds.
 */
export function takeReads(socket: Socket, take: Take | undefined): void {
  if (take === undefined) takers.delete(socket)
  else takers.set(socket, take)
}
