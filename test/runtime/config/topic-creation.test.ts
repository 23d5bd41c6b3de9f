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
    const configs = { 'max.message.bytes': String(8 << 20), 'cleanup.policy': 'compact' }
    expect(sources[0]!.topicCreation).toEqual([{ include: ['.*'], exclude: [], partitions: 4, configs }])
    expect(warnings).toEqual([])
    expect((await load({})).sources[0]!.topicCreation).toBeUndefined()
  })

  test('leaves -1 partitions to the broker, and warns of what is for a cluster', async () => {
    const { sources, warnings } = await load({
      'topic.creation.default.partitions': '-1',
      'topic.creation.default.replication.factor': '3',
      'topic.creation.default.min.insync.replicas': '2',
    })
    expect(sources[0]!.topicCreation![0]!.partitions).toBe(-1)
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

describe('topic.creation.groups', () => {
  const GROUPS = {
    'topic.creation.groups': 'compacted, big',
    'topic.creation.default.partitions': '4',
    'topic.creation.compacted.include': 'shop\\.public\\..*,extra',
    'topic.creation.compacted.exclude': '.*_log',
    'topic.creation.compacted.cleanup.policy': 'compact',
    'topic.creation.big.include': '.*_log',
    'topic.creation.big.partitions': '12',
    'topic.creation.big.replication.factor': '1',
  }

  test('are asked in their order, the default last, whose partitions they have where they say nothing', async () => {
    const { sources, warnings } = await load(GROUPS)
    expect(sources[0]!.topicCreation).toEqual([
      {
        include: ['shop\\.public\\..*', 'extra'],
        exclude: ['.*_log'],
        partitions: 4,
        configs: { 'cleanup.policy': 'compact' },
      },
      { include: ['.*_log'], exclude: [], partitions: 12, configs: {} },
      { include: ['.*'], exclude: [], partitions: 4, configs: {} },
    ])
    expect(warnings).toEqual([])
  })

  test.each([
    ['topic.creation.big.include', '', /big\.include: expected a list of at least one/],
    ['topic.creation.big.include', '(', /big\.include: expected regular expressions/],
    ['topic.creation.bgi.partitions', '1', /bgi\.partitions: .*did you mean topic\.creation\.big\.partitions/],
    ['topic.creation.groups', 'a b', /topic\.creation\.groups: expected names of letters, digits, _ and -/],
  ])('refuses %s: %s where it stands', async (name, value, message) => {
    await expect(load({ ...GROUPS, [name]: value })).rejects.toThrow(message)
  })

  test('need to say which topics are theirs', async () => {
    await expect(load({ 'topic.creation.groups': 'compacted' })).rejects.toThrow(
      /topic\.creation\.compacted\.include: expected a list of at least one, got nothing; it is required/,
    )
  })
})
