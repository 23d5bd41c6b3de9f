import type { OptionSpecs } from '../api/index.ts'
import { writtenText } from './flat-options.ts'
import { type ReadOptions, readOptions } from './option-reader.ts'
import type { ValueContext } from './option-values.ts'
import type { Section } from './pipeline-file.ts'
import { formatPlace, type Problems, quoted } from './problems.ts'
import type { Place } from './types.ts'

/**
 * `worker` or `broker` of all files together: there is one process. A setting may stand in several files with one value;
 * other values are a problem that names both places.
 */
export function readSettings(
  name: string,
  specs: OptionSpecs,
  sections: readonly { readonly section: Section; readonly context: ValueContext }[],
  elsewhere: ReadonlyMap<string, string>,
  problems: Problems,
): ReadOptions['values'] {
  const values: Record<string, ReadOptions['values'][string]> = {}
  for (const [option, spec] of Object.entries(specs)) values[option] = spec.default ?? undefined
  const places = new Map<string, Place>()
  for (const { section, context } of sections) {
    const scope = {
      specs,
      path: section.path,
      place: section.place,
      title: `an option of ${name}`,
      elsewhere: new Map([...elsewhere].filter(([option]) => !Object.hasOwn(specs, option))),
    }
    const read = readOptions(section.options, scope, context, problems)
    for (const [option, flat] of read.given) {
      const value = read.values[option]
      const other = places.get(option)
      if (other !== undefined && String(values[option]) !== String(value)) {
        const got = `got ${quoted(writtenText(flat))} here and another at ${formatPlace(other)}`
        problems.add(flat.place, `${section.path}.${flat.key}`, `expected one value in all files, ${got}`)
      } else {
        values[option] = value
        places.set(option, flat.place)
      }
    }
  }
  return values
}
