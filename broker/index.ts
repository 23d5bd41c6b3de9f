export * from './errors.ts'
export * from './port.ts'
export {
  IGNORED_TOPIC_CONFIGS,
  parseTopicConfigs,
  TOPIC_CONFIGS,
  type TopicConfigProblem,
  type TopicConfigSpec,
  type TopicSettings,
} from './topic-configs.ts'
export { type OwnerRecord, readOwner } from './owner.ts'
export { type EmbeddedBroker, type EmbeddedOptions, type EmbeddedParts, openEmbeddedBroker } from './embedded.ts'
