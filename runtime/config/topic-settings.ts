import { IGNORED_TOPIC_CONFIGS, parseTopicConfigs, TOPIC_CONFIGS } from '../../broker/index.ts'
import type { OptionSpec, OptionSpecs } from '../api/index.ts'
import { writtenText } from './flat-options.ts'
import type { ReadOptions } from './option-reader.ts'
import { type Problems, quoted } from './problems.ts'
import type { Place } from './types.ts'

/** Topic settings as options: what may be given, all optional. A default here would be stored with every topic. */
export const TOPIC_SETTINGS: OptionSpecs = {
  ...Object.fromEntries(Object.entries(TOPIC_CONFIGS).map(([name, spec]) => [name, settingSpec(spec)])),
  ...Object.fromEntries(
    IGNORED_TOPIC_CONFIGS.map(name => [
      name,
      { type: 'string', default: null, doc: 'Taken, without effect.' } as const,
    ]),
  ),
}

/** The broker's own check has better words for an enum than ours, so those pass as text. */
function settingSpec(spec: (typeof TOPIC_CONFIGS)[keyof typeof TOPIC_CONFIGS]): OptionSpec {
  return spec.type === 'enum' ? { type: 'string', default: null, doc: spec.doc } : { ...spec, default: null }
}

/** What was given of the settings, each under its name behind `prefix`, as the broker takes them; it has the last word. */
export function readTopicSettings(
  { values, given }: Pick<ReadOptions, 'values' | 'given'>,
  prefix: string,
  { path, place }: { readonly path: string; readonly place: Place },
  problems: Problems,
): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {}
  for (const name of Object.keys(TOPIC_SETTINGS)) {
    const value = values[prefix + name]
    if (value !== undefined) texts[name] = String(value)
  }
  const checked = parseTopicConfigs(texts)
  for (const { name, message } of checked.problems) {
    const option = given.get(prefix + name)
    const words =
      option === undefined ? message : message.replace(quoted(texts[name] ?? ''), quoted(writtenText(option)))
    problems.add(option?.value.place ?? place, `${path}.${prefix}${name}`, words)
  }
  for (const name of checked.ignored) {
    const at = given.get(prefix + name)?.place ?? place
    problems.warn(at, `${path}.${prefix}${name}`, 'has no effect here: it is for a cluster of brokers')
  }
  return texts
}
