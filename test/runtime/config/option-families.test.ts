import { describe, expect, test } from 'vitest'
import { CATALOGUE } from '../../../cli/compose.ts'
import { loadTexts } from '../../support/config-fixture.ts'

const SOURCE = { 'connector.class': 'io.debezium.connector.postgresql.PostgresConnector', 'topic.prefix': 'shop' }

function load(given: Record<string, unknown>) {
  const config = { ...SOURCE, ...given }
  return loadTexts({ '/p/source.json': JSON.stringify({ name: 'source', config }) }, { catalogue: CATALOGUE })
}

const SALTED = 'column.mask.hash.v2.SHA-256.with.salt.hush.hush'

describe('options whose names hold a part of their own', () => {
  test('are taken under any name that fits, each with what it was given', async () => {
    const { sources } = await load({
      'column.mask.with.3.chars': 'public.a.x, public.a.y',
      'column.mask.with.10.chars': ['public.b.z'],
      [SALTED]: 'public.c.s',
    })
    expect(sources[0]!.options).toMatchObject({
      'column.mask.with.<length>.chars': {
        'column.mask.with.3.chars': ['public.a.x', 'public.a.y'],
        'column.mask.with.10.chars': ['public.b.z'],
      },
      'column.mask.hash.v2.<algorithm>.with.salt.<salt>': { [SALTED]: ['public.c.s'] },
      'column.mask.hash.<algorithm>.with.salt.<salt>': {},
    })
  })

  test('may be nested, as all others', async () => {
    const yaml = `sources:
  shop:
    type: postgres
    topic.prefix: shop
    column:
      truncate.to.5.chars: [public.a.x]
      mask: { with: { 3: { chars: public.a.y } } }
`
    const { sources } = await loadTexts({ '/p/a.yaml': yaml }, { catalogue: CATALOGUE })
    expect(sources[0]!.options).toMatchObject({
      'column.truncate.to.<length>.chars': { 'column.truncate.to.5.chars': ['public.a.x'] },
      'column.mask.with.<length>.chars': { 'column.mask.with.3.chars': ['public.a.y'] },
    })
  })

  test.each([
    [{ 'column.mask.with.three.chars': 'a' }, /did you mean column\.mask\.with\.<length>\.chars/],
    [{ 'column.mask.with.3.chars': '(' }, /config\.column\.mask\.with\.3\.chars: expected regular expressions/],
    [{ 'column.truncate.to.3.chars': { a: 1 } }, /column\.truncate\.to\.3\.chars\.a/],
    [{ 'column.mask.hash.v2.ROT13.with.salt.hush': 'a' }, /expected an algorithm of MD5, .*SHA-256/],
  ])('refuse %j', async (given, message) => {
    await expect(load(given)).rejects.toThrow(message)
  })

  test.each([
    [{ [SALTED]: '(' }],
    [{ [SALTED.replace('column', 'colum')]: 'a' }],
    [{ [SALTED]: { more: 'x' } }],
    [{ 'column.mask.hash.v2.ROT13.with.salt.hush': 'a' }],
  ])('never have their salt in a message: %#', async given => {
    const error = await load(given).then(
      () => undefined,
      (failed: Error) => failed,
    )
    if (!JSON.stringify(given).includes('more')) expect(error).toBeDefined()
    expect(String(error?.message)).not.toMatch(/hush/)
  })

  test('are shown without it', async () => {
    const { sources } = await load({ [SALTED]: 'public.c.s' })
    expect(sources[0]!.shown).toMatchObject({ 'column.mask.hash.v2.SHA-256.with.salt.[hidden]': 'public.c.s' })
    expect(JSON.stringify(sources[0]!.shown)).not.toMatch(/hush/)
  })

  test('are shown without passwords of what is taken without effect', async () => {
    const { sources } = await load({
      'producer.override.sasl.jaas.config': 'org.apache.kafka.Login required password="hush";',
      'schema.history.internal.producer.ssl.key.password': 'hush',
      'producer.override.linger.ms': '5',
    })
    expect(sources[0]!.shown['producer.override.linger.ms']).toBe('5')
    expect(JSON.stringify(sources[0]!.shown)).not.toMatch(/hush/)
  })
})
