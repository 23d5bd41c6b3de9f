import type { ConfigNode, MapEntry } from './nodes.ts'
import type { Problems } from './problems.ts'
import { readProperties } from './properties.ts'

/**
 * A properties file of connect-standalone as nodes with places. Undefined when there is nothing in it; why is in `problems`
 * then. A key that stands twice is two entries.
 */
export function parsePropertiesFile(text: string, file: string, problems: Problems): ConfigNode | undefined {
  const start = { file, line: 1, column: 1 }
  const entries = readProperties(text).map(({ key, value, line }): MapEntry => {
    const place = { file, line, column: 1 }
    return { key, place, value: { kind: 'scalar', place, size: 1, text: value, plain: false }, rank: 0 }
  })
  if (!entries.some(({ key }) => key === 'connector.class')) {
    // Whatever a line holds may be secret: nothing of it is repeated.
    const got = entries.length === 0 ? 'an empty file' : 'no such line'
    problems.add(start, '', `expected a connector's configuration with a line connector.class=…, got ${got}`)
    return undefined
  }
  return { kind: 'map', place: start, source: text, entries, size: entries.length + 1 }
}
