import { describe, expect, test } from 'vitest'
import { parseTopicConfigs } from '../../broker/topic-configs.ts'

describe('topic settings', () => {
  test('have the defaults of Kafka, and ours', () => {
    expect(parseTopicConfigs({})).toEqual({
      settings: {
        cleanupPolicy: 'delete',
        codec: 'none',
        indexIntervalBytes: 4096,
        maxMessageBytes: 1_048_588,
        timestampType: 'CreateTime',
        retentionBytes: -1,
        retentionMs: 604_800_000,
        segmentBytes: 1_073_741_824,
        segmentMs: 604_800_000,
        retentionUnconsumed: 'hold',
        durability: 'sync',
      },
      problems: [],
      ignored: [],
    })
  })

  test('are read by their names', () => {
    const { settings, problems } = parseTopicConfigs({
      'retention.ms': '-1',
      'retention.bytes': '1000000000000',
      'compression.type': 'zstd',
      'retention.unconsumed': 'delete',
      durability: 'os',
    })
    expect(problems).toEqual([])
    expect(settings).toMatchObject({
      retentionMs: -1,
      retentionBytes: 1e12,
      codec: 'zstd',
      retentionUnconsumed: 'delete',
      durability: 'os',
    })
  })

  test('report everything that is wrong at once, each with what was expected', () => {
    const { problems, settings } = parseTopicConfigs({
      'retention.ms': '7d',
      'segment.bytes': '3',
      'segment.ms': '99999999999999999999',
      'compression.type': 'lzma',
      'retention-ms': '1',
      constructor: '1',
    })
    expect(Object.fromEntries(problems.map(p => [p.name, p.message]))).toEqual({
      'retention.ms': 'expected a whole number of milliseconds of at least -1, got "7d"',
      'segment.bytes': 'expected a whole number of bytes from 14 to 2147483647, got "3"',
      'segment.ms': 'expected a whole number of milliseconds of at least 1, got "99999999999999999999"',
      'compression.type': 'expected one of producer, uncompressed, none, gzip, zstd, got "lzma"',
      'retention-ms': 'unknown topic setting "retention-ms" (did you mean retention.ms?)',
      constructor: 'unknown topic setting "constructor"',
    })
    expect(settings.retentionMs).toBe(604_800_000)
  })

  test('a cluster has and one process has not are taken without effect', () => {
    const { problems, ignored } = parseTopicConfigs({
      'min.insync.replicas': '2',
      'unclean.leader.election.enable': 'x',
    })
    expect(problems).toEqual([])
    expect(ignored).toEqual(['min.insync.replicas', 'unclean.leader.election.enable'])
  })

  test('compaction is for internal topics as yet, and says so', () => {
    expect(parseTopicConfigs({ 'cleanup.policy': 'compact' }, { internal: true }).settings.cleanupPolicy).toBe(
      'compact',
    )
    for (const policy of ['compact', 'delete,compact'])
      expect(parseTopicConfigs({ 'cleanup.policy': policy }).problems[0]!.message).toMatch(
        /compaction .* not there yet/,
      )
  })
})
