import type { OptionProblem } from '../../runtime/api/index.ts'
import type { S3Options } from './options.ts'
import { PATH_FORMATS, partitionerOf } from './partitioners.ts'
import { directoryOf } from './store-url.ts'

/** Which options of the s3 sink do not fit together. */
export function optionProblems(options: S3Options): readonly OptionProblem[] {
  return [...targetProblems(options), ...partitionerProblems(options)]
}

const BUCKET_ONLY = ['s3.bucket.name', 'aws.access.key.id', 'aws.secret.access.key'] as const

function targetProblems(options: S3Options): readonly OptionProblem[] {
  const url = options['store.url']
  if (url !== undefined && directoryOf(url) !== undefined) {
    return BUCKET_ONLY.filter(option => options[option] !== undefined).map(option => ({
      option,
      message: 'expected a bucket or a directory as store.url, got both; leave out one of them',
    }))
  }
  const problems: OptionProblem[] = []
  if ((options['s3.bucket.name'] ?? '') === '') {
    const message = 'expected a bucket, or a directory as store.url (./exports, file:///srv/exports); got neither'
    problems.push({ option: 's3.bucket.name', message })
  }
  const [id, secret] = [options['aws.access.key.id'], options['aws.secret.access.key']]
  if ((id === undefined) !== (secret === undefined)) {
    const option = id === undefined ? 'aws.secret.access.key' : 'aws.access.key.id'
    const message = 'expected aws.access.key.id and aws.secret.access.key, or neither of them; got this one alone'
    problems.push({ option, message })
  }
  return problems
}

/** What a pasted configuration says of the folders must be what the partitioner does. */
function partitionerProblems(options: S3Options): readonly OptionProblem[] {
  const format = options['path.format']
  if (/TimeBased/.test(options['partitioner.class']) && format === undefined)
    return [{ option: 'path.format', message: 'expected it beside the TimeBasedPartitioner, got nothing' }]
  const partitioner = partitionerOf(options['partitioner.class'], format)
  if (partitioner.kind === 'default') return []
  const problems: OptionProblem[] = []
  if (format !== undefined && PATH_FORMATS[format] !== partitioner.periodMs) {
    const message = 'expected the path of the partitioner, got that of another; leave it out'
    problems.push({ option: 'path.format', message })
  }
  if (partitioner.periodMs % (options['partition.duration.ms'] ?? 1) !== 0) {
    const message = `expected ${partitioner.periodMs}, the time that one folder stands for here, or a part of it; got another`
    problems.push({ option: 'partition.duration.ms', message })
  }
  return problems
}
