export * from './config/types.ts'
export * from './status.ts'
