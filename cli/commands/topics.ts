import type { TopicDetail } from '../../web/index.ts'
import type { WorkerOptions } from '../find-worker.ts'
import { openAccess } from '../open-access.ts'
import { type Output, processOutput } from '../output.ts'
import { escapeControls, formatBytes, formatCount } from '../text.ts'

export async function listTopics(options: WorkerOptions & { json?: boolean; internal?: boolean }): Promise<void> {
  const output = processOutput()
  const { access } = await openAccess(options)
  try {
    const topics = (await access.topics()).filter(topic => options.internal === true || !topic.internal)
    if (options.json) return output.line(JSON.stringify(topics))
    const rows = topics.map(({ name, partitions, offsets, bytes }) => [
      name,
      formatCount(partitions),
      formatCount(offsets),
      bytes < 0 ? '' : formatBytes(bytes),
    ])
    output.table(
      [
        { title: 'TOPIC' },
        { title: 'PARTITIONS', align: 'right' },
        { title: 'OFFSETS', align: 'right' },
        { title: 'SIZE', align: 'right' },
      ],
      rows,
    )
  } finally {
    await access.close()
  }
}

export async function describeTopic(topic: string, options: WorkerOptions & { json?: boolean }): Promise<void> {
  const output = processOutput()
  const { access } = await openAccess(options)
  try {
    const detail = await access.topic(topic)
    if (options.json) output.line(JSON.stringify(detail))
    else print(detail, output)
  } finally {
    await access.close()
  }
}

function print(topic: TopicDetail, output: Output): void {
  output.line(`Topic ${escapeControls(topic.name)}, id ${topic.id}`)
  const settings = Object.entries(topic.configs).map(([name, value]) => `${name}=${value}`)
  output.line(`Settings: ${settings.length === 0 ? 'all defaults' : escapeControls(settings.join(', '))}`)
  output.line('')
  output.table(
    [
      { title: 'PARTITION', align: 'right' },
      { title: 'START', align: 'right' },
      { title: 'END', align: 'right' },
      { title: 'SIZE', align: 'right' },
    ],
    topic.partitionDetails.map(({ partition, logStartOffset, highWatermark, bytes }) => [
      `${partition}`,
      `${logStartOffset}`,
      `${highWatermark}`,
      bytes < 0 ? '' : formatBytes(bytes),
    ]),
  )
  const lost = topic.partitionDetails.reduce((sum, { unconsumedDeleted = 0 }) => sum + unconsumedDeleted, 0)
  if (lost > 0) output.line(`Retention deleted ${formatCount(lost)} offsets that a sink had not committed yet.`)
  output.line('')
  if (topic.groups.length === 0) output.line('No group has read it yet.')
  else printGroups(topic, output)
}

function printGroups(topic: TopicDetail, output: Output): void {
  output.table(
    [{ title: 'GROUP' }, ...['PARTITION', 'COMMITTED', 'LAG'].map(title => ({ title, align: 'right' as const }))],
    topic.groups.map(({ group, partition, offset, lag }) => [group, `${partition}`, `${offset}`, formatCount(lag)]),
  )
}
