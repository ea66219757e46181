export type { AbortSignalLike } from './abort.ts';
export { Admin, type LogDescription } from './admin.ts';
export { PyralogClient } from './client.ts';
export type { ClientPorts } from './ports.ts';
export type { AppendOptions, AppendResult, BatchAck, ProducerOptions, RecordInput } from './producer/options.ts';
export { Producer } from './producer/producer.ts';
export type {
  ConsumedBatch,
  ConsumedRecord,
  ReaderNotice,
  ReaderOptions,
  StartPosition,
} from './reader/options.ts';
export { Reader } from './reader/reader.ts';
