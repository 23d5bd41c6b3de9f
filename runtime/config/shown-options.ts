import type { OptionSpecs } from '../api/index.ts'
import { type FlatOption, shownName } from './flat-options.ts'
import { spellings } from './option-reader.ts'
import type { ReadTransform } from './transform-options.ts'

const HIDDEN = '[hidden]'
/** In names that nobody declares one by one, such as `producer.override.sasl.jaas.config`. */
const SECRET_NAME = /password|passphrase|secret|jaas|credential/i

/** A connector's options as they were written, `${…}` unresolved and secrets masked: what REST shows. */
export function shownOptions(
  name: string,
  options: readonly FlatOption[],
  specs: OptionSpecs,
  transforms: readonly ReadTransform[],
): Readonly<Record<string, string>> {
  const shown: Record<string, string> = Object.create(null)
  shown.name = name
  const names = spellings(specs)
  for (const option of options) {
    const spec = specs[names.get(option.key) ?? '']
    const secret = spec === undefined ? SECRET_NAME.test(option.key) : spec.type === 'secret'
    if (!/^transforms(\.|$)/.test(option.key)) shown[shownName(option.key)] = textOf(option, secret)
  }
  if (transforms.length > 0) shown.transforms = transforms.map(t => t.config.name).join(',')
  for (const { config, given, type } of transforms) {
    shown[`transforms.${config.name}.type`] = type
    for (const [key, option] of given)
      shown[`transforms.${config.name}.${key}`] = textOf(option, config.transform.options[key]?.type === 'secret')
  }
  return shown
}

function textOf({ value }: FlatOption, secret: boolean): string {
  if (value.kind === 'empty') return ''
  if (value.kind === 'list') {
    if (secret) return HIDDEN
    return value.items.map(item => (item.kind === 'scalar' ? withoutPassword(item.text) : '')).join(',')
  }
  // A reference says where a secret is, not what it is.
  if (secret) return /^\$\{[^}]*\}$/.test(value.text) ? value.text : HIDDEN
  return withoutPassword(value.text)
}

/** The password inside a URL, whatever option holds it. */
function withoutPassword(text: string): string {
  return text.replaceAll(/(:\/\/[^\s/:@]*):[^\s/@]+@/g, `$1:${HIDDEN}@`)
}
