import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CATALOGUE } from '../cli/compose.ts'
import { PAGE, pageOf } from '../docs/generate.ts'
import { loadTexts } from './support/config-fixture.ts'

const page = readFileSync(PAGE, 'utf8')

describe('docs/configuration.md', () => {
  test('names every option as it is declared; `npm run docs` writes it anew', () => {
    expect(page).toBe(pageOf(page))
  })

  const blocks = [...page.matchAll(/^```(yaml|json)\n(.*?)^```$/gms)].map(match => [match[1]!, match[2]!] as const)

  test('has examples', () => expect(blocks.length).toBeGreaterThan(3))

  test.each(blocks)('its %s example loads: %#', async (kind, text) => {
    const env = { S3_KEY: 'k', S3_SECRET: 's' }
    const { sources, sinks } = await loadTexts({ [`/p/a.${kind}`]: text }, { catalogue: CATALOGUE, env })
    expect(sources.length + sinks.length).toBeGreaterThan(0)
  })

  test('every link inside the page leads somewhere', () => {
    const anchors = [...page.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    )
    const links = [...page.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor!)
    expect(links.filter(link => !anchors.includes(link))).toEqual([])
  })
})
