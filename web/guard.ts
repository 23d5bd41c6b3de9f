import { isIP } from 'node:net'
import { HttpError, httpMessage } from './errors.ts'

/** True for a name or address that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  if (name === 'localhost') return true
  return isIP(name) === 4 ? name.startsWith('127.') : name === '::1'
}

/**
 * Keeps other people's web pages out. A page on evil.example can point its own name at 127.0.0.1 (DNS rebinding) and then
 * talk to us as "same origin", or simply post across origins: browsers send the page's name in Host and Origin, so only
 * names of this machine are let through. Throws HttpError 403.
 */
export function checkCaller(headers: { host?: string | undefined; origin?: string | undefined }): void {
  if (headers.host === undefined || !isLoopback(withoutPort(headers.host))) {
    throw new HttpError(403, `${httpMessage(403)}: the Host header must name this machine (localhost or 127.0.0.1)`)
  }
  if (headers.origin === undefined) return
  let origin: URL | undefined
  try {
    origin = new URL(headers.origin)
  } catch {
    // "null": a sandboxed page or a file.
  }
  if (origin === undefined || origin.host !== headers.host) {
    throw new HttpError(403, `${httpMessage(403)}: requests from other web pages are refused`)
  }
}

function withoutPort(host: string): string {
  return host.replace(/:\d*$/, '')
}

/** Connect answers JSON only: 406 where the caller takes none. */
export function checkAccept(accept: string | undefined): void {
  if (accept === undefined) return
  const types = accept.split(',').map(type => type.split(';', 1)[0]!.trim().toLowerCase())
  if (!types.some(type => type === '*/*' || type === 'application/*' || type === 'application/json' || type === '')) {
    throw new HttpError(406, httpMessage(406))
  }
}
