/**
 * Confluent's layout: `<topics.dir>/<topic>/<encodedPartition>/<topic>+<kafkaPartition>+<first offset, 10 digits><ext>`.
 * The file's name carries the topic and partition that the record came from, so two topics that a transform routes into
 * one folder can never meet in one key.
 */
export interface ObjectName {
  readonly topicsDir: string
  /** As transforms left it: the folder. */
  readonly topic: string
  /** `partition=0`, `year=2026/month=11/...`. */
  readonly path: string
  readonly originTopic: string
  readonly partition: number
  readonly firstOffset: number
  /** `.json.zst` */
  readonly extension: string
}

export function objectKey(name: ObjectName): string {
  const file = `${name.originTopic}+${name.partition}+${String(name.firstOffset).padStart(10, '0')}${name.extension}`
  return `${prefixOf(name.topicsDir)}${name.topic}/${name.path}/${file}`
}

/** `''` or ending in `/`. */
export function prefixOf(topicsDir: string): string {
  return topicsDir === '' ? '' : `${topicsDir}/`
}

/** Whether a file's name is one that these partitions of these topics would give. */
export function isNameOf(
  name: string,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
  extensions: readonly string[],
): boolean {
  return partitions.some(({ topic, partition }) => {
    const start = `${topic}+${partition}+`
    const offset = name.startsWith(start) ? /^\d{10,16}/.exec(name.slice(start.length))?.[0] : undefined
    return offset !== undefined && extensions.includes(name.slice(start.length + offset.length))
  })
}
