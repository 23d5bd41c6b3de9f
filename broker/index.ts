export { type EmbeddedBroker, type EmbeddedOptions, type EmbeddedParts, openEmbeddedBroker } from './embedded.ts'
export * from './errors.ts'
export { INTERNAL_TOPICS } from './internal-topics.ts'
export { type InspectionProgress, type LogReport, verifyLog } from './log-inspection.ts'
export { type DumpedBatch, type DumpedRecord, type DumpItem, dumpPartition } from './log-inspection-dump.ts'
export type { Finding } from './log-inspection-findings.ts'
export { findLogFolders, type LogFolders, type PartitionFolder } from './log-inspection-folders.ts'
export { type PartitionRepair, planRepair, type RepairPlan } from './log-inspection-plan.ts'
export { repairLog } from './log-inspection-repair.ts'
export type { PartitionReport } from './log-inspection-verify.ts'
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
