/**
 * Creates and deletes logs: compare-and-sets in the bucket `cluster`.
 *
 * Partition ids are given out by a counter and never used twice, so that an old partition's records can never turn up in
 * a new log. A log that is being deleted keeps its name until its partition records are gone.
 */
import {
  CLUSTER_KEYS,
  type Clock,
  checkQuorum,
  checkWhole,
  DEFAULTS,
  decodeMetadata,
  encodeMetadata,
  formatLogName,
  invalid,
  isLogName,
  isNamespace,
  LIMITS,
  type LogConfig,
  type LogName,
  type LogOptions,
  logSchema,
  type PartitionId,
  PyralogError,
  partitionIdsOf,
  partitionIdsSchema,
  partitionKey,
  type Random,
} from '@pyralog/shared/core';
import type { MetadataView } from './metadata-view.ts';

const ATTEMPTS_MAX = 32;

export interface LogAdminPorts {
  readonly metadata: MetadataView;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * @throws PyralogError `invalid` naming the field and the limit, also when the log exists; `unavailable` while a log of
 *   that name is being deleted.
 */
export async function createLog(ports: LogAdminPorts, name: LogName, options: LogOptions): Promise<LogConfig> {
  const { metadata } = ports;
  const replication = checkOptions(ports, name, options);
  const existing = await metadata.fetchLog(name);
  if (existing !== undefined) throw nameIsTaken(existing);
  const log: LogConfig = {
    ...name,
    firstPartitionId: await takePartitionIds(metadata, options.partitions),
    partitionCount: options.partitions,
    ...replication,
    createdAtMs: ports.clock.wallMs(),
    state: 'active',
  };
  const key = CLUSTER_KEYS.log(name);
  const result = await metadata.store.compareAndSet(metadata.buckets.cluster, key, 0, encodeMetadata(log));
  if (result.kind === 'conflict') throw nameIsTaken(log);
  return log;
}

function nameIsTaken(log: LogConfig): PyralogError {
  const fields = { field: 'log', log: formatLogName(log) };
  return log.state === 'deleting'
    ? new PyralogError({ code: 'unavailable', message: 'a log of this name is being deleted', retry: 'same', fields })
    : invalid('log', 'log exists already', fields);
}

function checkOptions(
  ports: LogAdminPorts,
  name: LogName,
  options: LogOptions,
): Pick<LogConfig, 'replicationFactor' | 'writeQuorum' | 'strategy' | 'seed' | 'scatterWidth' | 'durability'> {
  if (!isNamespace(name.namespace)) throw invalid('namespace', 'namespace is not 1 to 64 letters, digits, _ or -');
  if (!isLogName(name.name)) {
    throw invalid('log', 'log name is not 1 to 200 letters, digits, _, - or inner dots', {
      value: name.name.slice(0, 256),
    });
  }
  checkWhole('partitions', options.partitions, 1, LIMITS.logPartitionsMax);
  const replicationFactor = options.replicationFactor ?? DEFAULTS.replicationFactor;
  checkWhole('replicationFactor', replicationFactor, 1, LIMITS.replicationFactorMax);
  const writeQuorum = options.writeQuorum ?? Math.floor(replicationFactor / 2) + 1;
  checkQuorum({ replicationFactor, writeQuorum }, [...ports.metadata.nodes()].length);
  const seed = options.seed ?? Number(BigInt.asUintN(32, ports.random.u64()));
  checkWhole('seed', seed, 0, 0xffff_ffff);
  const scatterWidth = options.scatterWidth ?? DEFAULTS.scatterWidth;
  checkWhole('scatterWidth', scatterWidth, 1, LIMITS.scatterWidthMax);
  return {
    replicationFactor,
    writeQuorum,
    strategy: options.strategy ?? 'per-record',
    seed,
    scatterWidth,
    durability: options.durability ?? 'fsync',
  };
}

/** Takes `count` consecutive partition ids that nobody else will get. */
async function takePartitionIds(metadata: MetadataView, count: number): Promise<PartitionId> {
  const { store, buckets } = metadata;
  const key = CLUSTER_KEYS.partitionIds;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const entry = await store.get(buckets.cluster, key);
    const next = entry === undefined ? (0 as PartitionId) : decodeMetadata(partitionIdsSchema, key, entry.value).next;
    checkWhole('partitions', next + count, 1, 0xffff_ffff);
    const value = encodeMetadata({ next: next + count });
    const result = await store.compareAndSet(buckets.cluster, key, entry?.revision ?? 0, value);
    if (result.kind === 'written') return next;
  }
  throw new PyralogError({ code: 'overloaded', message: 'too many logs are being created at once' });
}

/**
 * Marks a log as being deleted; its owners stop serving it. `finishDeletion` does the rest.
 * @throws PyralogError `invalid` when there is no such log.
 */
export async function deleteLog(metadata: MetadataView, name: LogName): Promise<void> {
  const key = CLUSTER_KEYS.log(name);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const entry = await metadata.store.get(metadata.buckets.cluster, key);
    if (entry === undefined) throw unknownLog(name);
    const log = decodeMetadata(logSchema, key, entry.value);
    if (log.state === 'deleting') return;
    const value = encodeMetadata({ ...log, state: 'deleting' });
    const result = await metadata.store.compareAndSet(metadata.buckets.cluster, key, entry.revision, value);
    if (result.kind === 'written') return;
  }
  throw new PyralogError({ code: 'overloaded', message: 'log is being changed by too many at once' });
}

/** Deletes the partition records of a log that is being deleted, then its name. Any number of sequencers may try. */
export async function finishDeletion(metadata: MetadataView, log: LogConfig): Promise<void> {
  for (const partitionId of partitionIdsOf(log)) {
    const { record, revision } = await metadata.fetchRecord(partitionId);
    if (record === undefined) continue;
    const bucket = metadata.recordBucket(partitionId);
    const result = await metadata.store.compareAndDelete(bucket, partitionKey(partitionId), revision);
    if (result.kind === 'conflict') return;
  }
  const key = CLUSTER_KEYS.log(log);
  const entry = await metadata.store.get(metadata.buckets.cluster, key);
  if (entry === undefined) return;
  const now = decodeMetadata(logSchema, key, entry.value);
  if (now.firstPartitionId !== log.firstPartitionId) return;
  await metadata.store.compareAndDelete(metadata.buckets.cluster, key, entry.revision);
}

export function unknownLog(name: LogName): PyralogError {
  return invalid('log', 'there is no such log', { log: formatLogName(name) });
}
