/** What a sequencer tells clients: the topology of a log, the state of the cluster. */
import {
  type ClusterStatus,
  LIMITS,
  type LogConfig,
  type LogTopology,
  type Offset,
  openFragment,
  type PartitionAvailability,
  type PartitionId,
  type PartitionRecord,
  type PartitionTopology,
} from '@pyralog/shared/core';
import type { Liveness } from './liveness.ts';
import type { MetadataView } from './metadata-view.ts';

/** Bytes of one topology reply's fragments, so that it fits a message of NATS' default size. */
const REPLY_FRAGMENTS_MAX = 1_024;

/** Partitions `[from, …)` of a log, as many as fit one reply. */
export function describeTopology(
  metadata: MetadataView,
  liveness: Liveness,
  log: LogConfig,
  from: number,
): LogTopology {
  const partitions: PartitionTopology[] = [];
  let fragments = 0;
  for (let partition = from; partition < log.partitionCount; partition++) {
    const partitionId = (log.firstPartitionId + partition) as PartitionId;
    const described = describePartition(metadata.record(partitionId), liveness, partitionId, partition);
    fragments += Math.max(1, described.fragments.length);
    if (partitions.length > 0 && (partitions.length >= LIMITS.topologyPartitionsMax || fragments > REPLY_FRAGMENTS_MAX))
      break;
    partitions.push(described);
  }
  return { log, partitions };
}

function describePartition(
  record: PartitionRecord | undefined,
  liveness: Liveness,
  partitionId: PartitionId,
  partition: number,
): PartitionTopology {
  const open = record === undefined ? undefined : openFragment(record);
  const described = {
    partitionId,
    partition,
    state: availability(record, liveness),
    lastEpoch: record?.lastEpoch ?? (0 as PartitionTopology['lastEpoch']),
    trimPoint: record?.trimPoint ?? (0 as Offset),
    fragments: record?.fragments ?? [],
    pinned: record?.pinned,
    claim: record?.claim,
    halted: record?.halted,
  };
  return open === undefined ? described : { ...described, sequencerId: open.sequencerId };
}

function availability(record: PartitionRecord | undefined, liveness: Liveness): PartitionAvailability {
  if (record?.halted !== undefined) return 'halted';
  const open = record === undefined ? undefined : openFragment(record);
  if (open === undefined) return 'unowned';
  return liveness.isSequencerLive(open.sequencerId) ? 'serving' : 'recovery-needed';
}

export function describeCluster(options: {
  clusterName: string;
  metadata: MetadataView;
  liveness: Liveness;
  payloadBytesMax: number;
}): ClusterStatus {
  const { clusterName, metadata, liveness, payloadBytesMax } = options;
  const counts = { serving: 0, unowned: 0, recoveryNeeded: 0, halted: 0 };
  for (const [partitionId] of metadata.partitions()) {
    const state = availability(metadata.record(partitionId), liveness);
    if (state === 'recovery-needed') counts.recoveryNeeded++;
    else counts[state]++;
  }
  const processes = [...liveness.processes()]
    .map((process) => ({
      alive: liveness.isLive(process),
      silentMs: Math.round(liveness.silentMs(process)),
      heartbeat: process.heartbeat,
    }))
    .sort((a, b) => compare(a.heartbeat.role, b.heartbeat.role) || compare(a.heartbeat.id, b.heartbeat.id));
  return { clusterName, processes, logs: [...metadata.logs()].length, partitions: counts, limits: { payloadBytesMax } };
}

function compare(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
