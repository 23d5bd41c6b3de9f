import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { BROKER_CODES } from '../../broker/errors.ts'

const BROKER = fileURLToPath(new URL('../../broker', import.meta.url))

test('the table of codes names every code that the broker throws', () => {
  const thrown = readdirSync(BROKER).flatMap(name =>
    [...readFileSync(`${BROKER}/${name}`, 'utf8').matchAll(/new KtsError\(\s*'([A-Z_]+)'/g)].map(match => match[1]!),
  )
  expect(thrown.length).toBeGreaterThan(15)
  expect([...new Set(thrown)].filter(code => !BROKER_CODES.some(known => known === code))).toEqual([])
})
