import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { packageRoot } from '../../cli/package-root.ts'

/** Absolute path of a file or folder of the test data that lies beside the repository, or undefined without it. */
export function sharedData(path: string): string | undefined {
  const absolute = fileURLToPath(new URL(`../shared/data/${path}`, packageRoot()))
  return existsSync(absolute) ? absolute : undefined
}
