import { createRequire } from 'node:module'

/** The package's own version; the file lies two folders up, in the sources and in `dist` alike. */
export const VERSION: string = (createRequire(import.meta.url)('kts-connect/package.json') as { version: string })
  .version
