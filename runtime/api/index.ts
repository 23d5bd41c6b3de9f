/** What a connector's author sees. Third-party connectors import it as `kts-connect/api`. */
export * from '../../base/index.ts'
export * from './connector.ts'
export * from './converter.ts'
export * from './errors.ts'
export * from './options.ts'
export * from './record.ts'
export * from './schema.ts'
export * from './transform.ts'
