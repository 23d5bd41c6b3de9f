import { type CheckContext, defineSink, KtsError, type SinkTask, type TaskContext } from '../../runtime/api/index.ts'
import { parentOf } from '../durable-directory.ts'
import { createFormat } from '../formats/format.ts'
import { unusable } from './sink-errors.ts'
import { FILE_SINK_OPTIONS, type FileSinkOptions } from './sink-options.ts'
import { FileSinkTask } from './sink-task.ts'

export const fileSink = defineSink({
  kind: 'sink',
  copiesBatches: true,
  name: 'file',
  aliases: ['org.apache.kafka.connect.file.FileStreamSinkConnector', 'FileStreamSinkConnector', 'FileStreamSink'],
  version: '1',
  doc: 'Appends values to a file, one line each. The length of the file is committed together with the offsets, and a restart cuts off what came behind it: every line once, also over kills, as long as nobody else writes to the file.',
  options: FILE_SINK_OPTIONS,
  open: openSink,
  check,
})

async function openSink(options: FileSinkOptions, context: TaskContext): Promise<SinkTask> {
  if (context.task > 0) {
    throw new KtsError(
      'CONFIG_INVALID',
      `file sink ${context.connector}: expected tasks.max: 1, since one file has one writer`,
    )
  }
  return new FileSinkTask(options.file, createFormat(options['format.class']), context)
}

async function check({ file: path }: FileSinkOptions, { files }: CheckContext): Promise<void> {
  try {
    await files.mkdir(parentOf(path))
    // An existing file is opened and left as it is; a new one is tried under another name.
    const there = await files.stat(path).then(
      () => true,
      () => false,
    )
    const tried = there ? path : `${path}.check`
    await (await files.open(tried, 'write')).close()
    if (!there) await files.unlink(tried)
  } catch (cause) {
    throw unusable(path, cause)
  }
}
