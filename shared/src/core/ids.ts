/** Names and numbers that identify things. Branded, so that one cannot be passed for another. */
import { invalid } from './errors.ts';

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Cluster-unique number of a partition, u32. */
export type PartitionId = Branded<number, 'PartitionId'>;
/** One reign of one sequencer over one partition, u32, from 1. */
export type Epoch = Branded<number, 'Epoch'>;
/** Position of a record in its partition, contiguous from 0. */
export type Offset = Branded<number, 'Offset'>;
/** Random u64 that names one activation. */
export type Nonce = Branded<bigint, 'Nonce'>;
export type SequencerId = Branded<string, 'SequencerId'>;
export type StorageNodeId = Branded<string, 'StorageNodeId'>;
/** Written on an empty disk at first start: 16 hexadecimal digits. */
export type Incarnation = Branded<string, 'Incarnation'>;

/** `namespace/name` of a log. */
export interface LogName {
  readonly namespace: string;
  readonly name: string;
}

const NAMESPACE = /^[A-Za-z0-9_-]{1,64}$/;
const NAME = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const PROCESS_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
export const LOG_NAME_LENGTH_MAX = 200;

export function isNamespace(value: string): boolean {
  return NAMESPACE.test(value);
}

export function isLogName(value: string): boolean {
  return value.length <= LOG_NAME_LENGTH_MAX && NAME.test(value);
}

/** Id of a sequencer, storage node or tiering process: one token of a NATS subject. */
export function isProcessId(value: string): boolean {
  return PROCESS_ID.test(value);
}

/**
 * Reads `namespace/name`.
 * @throws PyralogError `invalid` naming the part that is not well formed.
 */
export function parseLogName(value: string): LogName {
  const slash = value.indexOf('/');
  const namespace = value.slice(0, Math.max(slash, 0));
  const name = value.slice(slash + 1);
  if (slash < 0 || !isNamespace(namespace)) {
    throw invalid('log', 'log is not namespace/name with a namespace of 1 to 64 letters, digits, _ or -', { value });
  }
  if (!isLogName(name)) {
    throw invalid('log', 'log name is not 1 to 200 letters, digits, _, - or inner dots', { value });
  }
  return { namespace, name };
}

export function formatLogName(log: LogName): string {
  return `${log.namespace}/${log.name}`;
}

/** LSN of a record, shown `e7:42`. */
export function formatLsn(epoch: Epoch, offset: Offset): string {
  return `e${epoch}:${offset}`;
}
