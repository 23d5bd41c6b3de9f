export { verifiableSink } from './sink.ts'
export { verifiableSource } from './source.ts'
