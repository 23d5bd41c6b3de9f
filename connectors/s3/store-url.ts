import { fileURLToPath } from 'node:url'

/** Completes "expected …" where a `store.url` is neither an S3 server's nor a directory's. */
export function validStoreUrl(url: string): string | undefined {
  try {
    if (isServer(url) || url.startsWith('/') || (/^file:/i.test(url) && fileURLToPath(url) !== '')) return undefined
  } catch {
    // A file URL with a host, or one that is no URL: answered as any other.
  }
  return 'http://… or https://… of an S3 server, or a directory that begins with ./, / or file:///'
}

/** The absolute path that the URL names, or undefined for an S3 server's. */
export function directoryOf(url: string): string | undefined {
  if (isServer(url)) return undefined
  return url.startsWith('/') ? url : fileURLToPath(url)
}

function isServer(url: string): boolean {
  return /^https?:\/\//i.test(url) && URL.canParse(url)
}
