/** `import { startPipeline } from 'kts-connect'`: a pipeline inside your own process. */
export { type ConfigOptions, type Pipeline, type PipelineOptions, startPipeline } from './compose.ts'
