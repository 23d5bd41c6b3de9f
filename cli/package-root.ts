import { existsSync } from 'node:fs'

/** The folder of the package, with its trailing slash: two up from `dist/cli`, one up from the sources. */
export function packageRoot(): URL {
  const up = new URL('../', import.meta.url)
  return existsSync(new URL('package.json', up)) ? up : new URL('../', up)
}
