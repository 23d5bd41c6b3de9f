import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { CATALOGUE, loadPipeline } from '../cli/compose.ts'

const folder = fileURLToPath(new URL('../configs/', import.meta.url))
const examples = readdirSync(folder).filter(name => /\.ya?ml$/.test(name))

describe('the example configurations', () => {
  it.each(examples)('%s loads without a problem, and does something', async name => {
    const config = await loadPipeline([`${folder}${name}`])
    expect(config.sources.length + config.sinks.length).toBeGreaterThan(0)
  })

  it('show every connector there is', async () => {
    const configs = await Promise.all(examples.map(name => loadPipeline([`${folder}${name}`])))
    const shown = (kind: 'sources' | 'sinks') =>
      new Set(configs.flatMap(config => config[kind].map(({ connector }) => connector.name)))
    expect(CATALOGUE.sources.map(({ name }) => name).filter(name => !shown('sources').has(name))).toEqual([])
    expect(CATALOGUE.sinks.map(({ name }) => name).filter(name => !shown('sinks').has(name))).toEqual([])
  })
})
