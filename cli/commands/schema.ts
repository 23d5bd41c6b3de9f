import { configSchema } from '../../runtime/index.ts'
import { CATALOGUE } from '../compose.ts'
import { processOutput } from '../output.ts'

export async function schema(): Promise<void> {
  await processOutput().data(`${JSON.stringify(configSchema(CATALOGUE), null, 2)}\n`)
}
