import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'
import { FORMAT_NAMES } from '../formats/format.ts'

export const FILE_SINK_OPTIONS = defineOptions({
  file: {
    type: 'path',
    importance: 'high',
    doc: 'File that values are appended to, one line each; created when missing (0600). What it holds already stays.',
    examples: ['./out.txt'],
  },
  'format.class': {
    type: 'enum',
    values: FORMAT_NAMES,
    default: 'text',
    aliases: ['format'],
    doc: '`text` writes values as they are, one line each. `json` writes JSON lines: a JSON value as it is, a raw line as a JSON string.',
  },
})

export type FileSinkOptions = OptionValues<typeof FILE_SINK_OPTIONS>
