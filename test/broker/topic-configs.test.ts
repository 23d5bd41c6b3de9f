import { describe, expect, test } from 'vitest'
import { parseTopicConfigs } from '../../broker/topic-configs.ts'

describe('topic settings', () => {
  test('have the defaults of Kafka, and ours', () => {
    expect(parseTopicConfigs({})).toEqual({
      settings: {
        compacts: false,
        deletes: true,
        deleteRetentionMs: 86_400_000,
        minCleanableDirtyRatio: 0.5,
        minCompactionLagMs: 0,
        maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
        codec: 'producer',
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
      'compression.type': 'expected one of producer, uncompressed, none, gzip, snappy, lz4, zstd, got "lzma"',
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

  test('cleanup.policy is a list of what to do', () => {
    const policy = (text: string) => {
      const { compacts, deletes } = parseTopicConfigs({ 'cleanup.policy': text }).settings
      return { compacts, deletes }
    }
    expect(policy('compact')).toEqual({ compacts: true, deletes: false })
    expect(policy('delete')).toEqual({ compacts: false, deletes: true })
    expect(policy('compact, delete')).toEqual({ compacts: true, deletes: true })
    for (const wrong of ['', 'compact,', 'shrink'])
      expect(parseTopicConfigs({ 'cleanup.policy': wrong }).problems[0]!.message).toBe(
        `expected a list of compact, delete, got ${JSON.stringify(wrong)}`,
      )
  })

  test("of compaction have Kafka's ranges, and the active segment rolls in time for max.compaction.lag.ms", () => {
    const configs = {
      'cleanup.policy': 'compact',
      'delete.retention.ms': '0',
      'min.cleanable.dirty.ratio': '0.01',
      'min.compaction.lag.ms': '5',
      'max.compaction.lag.ms': '60000',
    }
    const { settings, problems } = parseTopicConfigs(configs)
    expect(problems).toEqual([])
    expect(settings).toMatchObject({
      deleteRetentionMs: 0,
      minCleanableDirtyRatio: 0.01,
      minCompactionLagMs: 5,
      maxCompactionLagMs: 60_000,
      segmentMs: 60_000,
    })
    const wrong = { 'min.cleanable.dirty.ratio': '1.5', 'min.compaction.lag.ms': '7', 'max.compaction.lag.ms': '6' }
    expect(Object.fromEntries(parseTopicConfigs(wrong).problems.map(p => [p.name, p.message]))).toEqual({
      'min.cleanable.dirty.ratio': 'expected a number from 0 to 1, got "1.5"',
      'min.compaction.lag.ms': 'expected at most max.compaction.lag.ms 6, got "7"',
    })
  })

  test("Kafka's largest number, as its tools print defaults, is a number", () => {
    const { settings, problems } = parseTopicConfigs({ 'max.compaction.lag.ms': '9223372036854775807' })
    expect(problems).toEqual([])
    expect(settings.maxCompactionLagMs).toBe(Number.MAX_SAFE_INTEGER)
  })
})
