export { type EmbeddedBroker, type EmbeddedOptions, type EmbeddedParts, openEmbeddedBroker } from './embedded.ts'
export * from './errors.ts'
export { INTERNAL_TOPICS } from './internal-topics.ts'
export { type DumpedBatch, type DumpedRecord, type DumpItem, dumpPartition } from './log-inspection-dump.ts'
export { findLogFolders, type LogFolders, type PartitionFolder } from './log-inspection-folders.ts'
export { type OwnerRecord, readOwner } from './owner.ts'
export * from './port.ts'
export {
  IGNORED_TOPIC_CONFIGS,
  parseTopicConfigs,
  TOPIC_CONFIGS,
  type TopicConfigProblem,
  type TopicConfigSpec,
  type TopicSettings,
} from './topic-configs.ts'
