import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { nodeFiles } from '../../../base/index.ts'
import { SINKS, SOURCES } from '../../../connectors/index.ts'
import { loadConfig, TRANSFORMS } from '../../../runtime/index.ts'

const FOLDER = fileURLToPath(new URL('../../../configs', import.meta.url))
const catalogue = { sources: SOURCES, sinks: SINKS, transforms: TRANSFORMS }

test.each(readdirSync(FOLDER).filter(name => name.endsWith('.yaml')))(
  'configs/%s loads without a warning',
  async name => {
    const { warnings, sources, sinks } = await loadConfig([`${FOLDER}/${name}`], {
      catalogue,
      files: nodeFiles,
      env: {},
    })
    expect(warnings).toEqual([])
    expect(sources.length + sinks.length).toBeGreaterThan(0)
  },
)
