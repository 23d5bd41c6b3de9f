import { describe, expect, test } from 'vitest'
import { CATALOGUE } from '../../../cli/compose.ts'
import { loadTexts } from '../../support/config-fixture.ts'

const SOURCE = { 'connector.class': 'FileStreamSource', file: '/tmp/test.txt', topic: 'lines' }

function load(given: Record<string, string>) {
  const config = { ...SOURCE, ...given }
  return loadTexts({ '/p/source.json': JSON.stringify({ name: 'source', config }) }, { catalogue: CATALOGUE })
}

describe('topic.creation.default', () => {
  test('takes partitions and every setting of a topic, as Connect does', async () => {
    const { sources, warnings } = await load({
      'topic.creation.default.partitions': '4',
      'topic.creation.default.replication.factor': '1',
      'topic.creation.default.max.message.bytes': '8MiB',
      'topic.creation.default.cleanup.policy': 'compact',
    })
    expect(sources[0]!.topicCreation).toEqual({
      partitions: 4,
      configs: { 'max.message.bytes': String(8 << 20), 'cleanup.policy': 'compact' },
    })
    expect(warnings).toEqual([])
    expect((await load({})).sources[0]!.topicCreation).toBeUndefined()
  })

  test('leaves -1 partitions to the broker, and warns of what is for a cluster', async () => {
    const { sources, warnings } = await load({
      'topic.creation.default.partitions': '-1',
      'topic.creation.default.replication.factor': '3',
      'topic.creation.default.min.insync.replicas': '2',
    })
    expect(sources[0]!.topicCreation?.partitions).toBeUndefined()
    expect(warnings.map(({ path }) => path).sort()).toEqual([
      'config.topic.creation.default.min.insync.replicas',
      'config.topic.creation.default.replication.factor',
    ])
  })

  test.each([
    ['partitions', '0', /config\.topic\.creation\.default\.partitions: expected a number of partitions, or -1/],
    ['compression.type', 'brotli', /config\.topic\.creation\.default\.compression\.type: expected one of .*brotli/],
    ['max.mesage.bytes', '1', /did you mean topic\.creation\.default\.max\.message\.bytes/],
  ])('refuses %s: %s where it stands', async (name, value, message) => {
    await expect(load({ [`topic.creation.default.${name}`]: value })).rejects.toThrow(message)
  })
})
