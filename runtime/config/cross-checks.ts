import { errorMessage } from '../../base/index.ts'
import { type ReadConnector, topicsOf } from './connector-options.ts'
import { writtenText } from './flat-options.ts'
import { type Problems, quoted } from './problems.ts'
import { topicNameProblem, writtenTopicProblem } from './topic-options.ts'
import type { SinkConfig, SourceConfig, TopicConfig } from './types.ts'

const DEAD_LETTERS = 'errors.deadletterqueue.topic.name'

/** What no single option can say: names, topics and options that must fit each other. */
export function crossCheck(
  connectors: readonly ReadConnector[],
  topics: readonly TopicConfig[],
  problems: Problems,
): void {
  const written = new Set(topics.map(topic => topic.name))
  let complete = true
  for (const { config, path, given } of connectors) {
    checkDeadLetters(config, path, given, problems)
    const deadLetters = config.common[DEAD_LETTERS]
    if (deadLetters !== undefined) written.add(deadLetters)
    if (config.kind === 'sink') continue
    const names = sourceTopics(config, path, given, problems)
    if (names.length === 0) complete = false
    for (const name of names) written.add(name)
  }
  for (const { config, path, given } of connectors) {
    if (config.kind === 'sink') checkSinkTopics(config, path, given, complete ? written : undefined, problems)
  }
}

function sourceTopics(
  config: SourceConfig,
  path: string,
  given: ReadConnector['given'],
  problems: Problems,
): readonly string[] {
  // A required option that is missing has been told already; the connector cannot answer without it.
  const incomplete = Object.entries(config.connector.options).some(
    ([name, spec]) => spec.default === undefined && config.options[name] === undefined,
  )
  const names = incomplete ? [] : topicsOf(config, path, problems)
  for (const name of names) {
    const option = [...given].find(([option]) => config.options[option] === name)?.[1]
    const wrong = writtenTopicProblem(name, option === undefined ? name : writtenText(option))
    if (wrong === undefined) continue
    problems.add(option?.value.place ?? config.place, option === undefined ? path : `${path}.${option.key}`, wrong)
  }
  return names
}

/** `written` undefined: some source cannot say what it writes, so nothing can be missed. */
function checkSinkTopics(
  config: SinkConfig,
  path: string,
  given: ReadConnector['given'],
  written: ReadonlySet<string> | undefined,
  problems: Problems,
): void {
  const list = given.get('topics')
  const regex = given.get('topics.regex')
  if (list === undefined && regex === undefined) {
    problems.add(config.place, path, 'expected topics or topics.regex, got neither')
    return
  }
  if (list !== undefined && regex !== undefined)
    problems.add(regex.place, `${path}.topics.regex`, 'expected topics or topics.regex, got both')
  const pattern = config.common['topics.regex']
  if (regex !== undefined && pattern !== undefined) {
    try {
      new RegExp(pattern)
    } catch (error) {
      const mistake = errorMessage(error).replace(/^.*: /s, '')
      const words = `expected a regular expression, got ${quoted(writtenText(regex))}: ${mistake}`
      problems.add(regex.value.place, `${path}.topics.regex`, words)
    }
  }
  if (list === undefined) return
  const names = config.common.topics
  if (names?.length === 0) problems.add(list.value.place, `${path}.topics`, 'expected at least one topic, got none')
  for (const [i, name] of (names ?? []).entries()) {
    const place = (list.value.kind === 'list' ? list.value.items[i]?.place : undefined) ?? list.value.place
    const wrong = topicNameProblem(name, writtenText(list))
    if (wrong !== undefined) problems.add(place, `${path}.topics`, wrong)
    else if (written !== undefined && !written.has(name))
      problems.warn(
        place,
        `${path}.topics`,
        `nothing here writes or declares topic ${name}; waiting for records that may never come`,
      )
  }
}

function checkDeadLetters(
  config: SourceConfig | SinkConfig,
  path: string,
  given: ReadConnector['given'],
  problems: Problems,
): void {
  const name = config.common[DEAD_LETTERS]
  const option = given.get(DEAD_LETTERS)
  const ownPolicy = config.transforms.find(transform => transform.options['on.error'] === 'dead-letter')
  if (option === undefined && ownPolicy !== undefined) {
    const words = `expected a topic, since transform ${ownPolicy.name} says on.error: dead-letter; got nothing`
    problems.add(config.place, `${path}.${DEAD_LETTERS}`, words)
  }
  if (name === undefined || option === undefined) return
  const wrong = writtenTopicProblem(name, writtenText(option))
  if (wrong !== undefined) problems.add(option.value.place, `${path}.${option.key}`, wrong)
  if (config.common['errors.tolerance'] === 'all' || ownPolicy !== undefined) return
  const words = 'bad records will stop the task and not go here; add errors.tolerance: all'
  problems.warn(option.place, `${path}.${option.key}`, words)
}
