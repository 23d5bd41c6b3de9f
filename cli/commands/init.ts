import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorCode } from '../../base/index.ts'
import { UsageError } from '../failure.ts'
import { type Output, processOutput } from '../output.ts'
import { packageRoot } from '../package-root.ts'

const SUFFIX = '.yaml'

/** Copies one of the package's own examples: those are run by tests, so what is written works. */
export async function init(name: string | undefined, options: { output?: string }): Promise<void> {
  const output = processOutput()
  const folder = fileURLToPath(new URL('configs/', packageRoot()))
  const names = (await readdir(folder)).filter(file => file.endsWith(SUFFIX)).map(file => basename(file, SUFFIX))
  if (name === undefined) {
    output.line(`Write one of these with \`kts-connect init NAME\`: ${names.join(', ')}`)
    return
  }
  if (!names.includes(name)) throw new UsageError(`no example ${JSON.stringify(name)}; there is: ${names.join(', ')}`)
  const text = await readFile(`${folder}${name}${SUFFIX}`, 'utf8')
  if (options.output === '-') await output.data(text)
  else await write(options.output ?? `${name}${SUFFIX}`, text, output)
}

async function write(file: string, text: string, output: Output): Promise<void> {
  try {
    await writeFile(file, text, { flag: 'wx' })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    throw new UsageError(`${file} exists and is left as it is: choose another name with --output FILE`)
  }
  output.line(`Wrote ${file}. Next:`)
  output.line(`  1. edit it: what to read, where to put it`)
  output.line(`  2. kts-connect validate ${file} --connect`)
  output.line(`  3. kts-connect start ${file}`)
}
