import { defineSource, errorMessage, KtsError } from '../../runtime/api/index.ts'
import { ACCESS_REMEDY, Discovery } from './discovery.ts'
import { FILE_SOURCE_OPTIONS } from './source-options.ts'
import { FileSourceTask } from './source-task.ts'

/**
 * Follows log files, as `tail -F` does, by identity: each file is a source partition of its own, whatever it is called
 * and however often it is rotated.
 */
export const fileSource = defineSource({
  kind: 'source',
  name: 'file',
  aliases: ['org.apache.kafka.connect.file.FileStreamSourceConnector', 'FileStreamSourceConnector', 'FileStreamSource'],
  version: '1',
  doc: 'Follows files and sends each line as one record, without its newline and otherwise byte for byte. Rotation by rename and by copytruncate is followed, also while stopped; a file is known by its content, not by its name or inode.',
  options: FILE_SOURCE_OPTIONS,
  defaultConverter: 'bytes',
  topics: options => [options.topic],
  // One task: reading is far from the limit of a core, and a file must not be followed twice.
  plan: options => [options],
  open: async (options, checkpoints, context) => new FileSourceTask(options, checkpoints, context),
  async check(options, { files, log }) {
    const found = await new Discovery(files, options.paths, options.exclude, log).find()
    if (found.files.length === 0 && found.unreadable.length === 0) {
      log.warn(
        {},
        `nothing to read yet at ${options.paths.join(', ')}: correct the paths, unless files are to appear there later`,
      )
    }
    const problems = found.unreadable.map(path => `${path}: cannot be looked at`)
    for (const { path } of found.files) {
      try {
        await (await files.open(path, 'read')).close()
      } catch (error) {
        problems.push(`${path}: ${errorMessage(error)}`)
      }
    }
    if (problems.length > 0) throw new KtsError('EACCES', `${problems.join('\n')}\n${ACCESS_REMEDY}`)
  },
})
