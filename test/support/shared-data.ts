import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Absolute path of a file or folder of the test data that lies beside the repository, or undefined without it. */
export function sharedData(path: string): string | undefined {
  const absolute = fileURLToPath(new URL(`../../../shared/data/${path}`, import.meta.url))
  return existsSync(absolute) ? absolute : undefined
}
