/**
 * What the owner does for a partition while it serves it: a fresh snapshot of its producers now and then, and a new epoch
 * when its nodeset should change.
 */
import { openFragment, type PartitionRecord } from '@pyralog/shared/core';
import type { ActivationPorts } from './activation.ts';
import { chooseSlots } from './nodeset.ts';
import type { ServingPartition } from './serving-partition.ts';

/** A node of the nodeset that is silent for this long is replaced by the next epoch, if RF others live. */
const NODE_GONE_AFTER_MS = 10_000;
/** A node that has been heard for this long is taken into the next epoch. */
const NODE_JOINED_AFTER_MS = 2_000;
/**
 * A recovery reads the headers of the batches since the last snapshot: 96 bytes each, from every node. So there is a fresh
 * one after so many batches, or after some time with fewer.
 */
const SNAPSHOT_EVERY_BATCHES = 4_096;
const SNAPSHOT_EVERY_MS = 10_000;
const SNAPSHOT_BATCHES_MIN = 64;

export function snapshotIsDue(partition: ServingPartition, nowMs: number): boolean {
  const { batchesSinceSnapshot, snapshotAtMs } = partition;
  if (batchesSinceSnapshot >= SNAPSHOT_EVERY_BATCHES) return true;
  return batchesSinceSnapshot >= SNAPSHOT_BATCHES_MIN && nowMs - snapshotAtMs >= SNAPSHOT_EVERY_MS;
}

/** Whether an epoch that opened now would have another nodeset, and for a reason that has lasted. */
export function nodesetIsOutdated(ports: ActivationPorts, partition: ServingPartition): boolean {
  const { metadata, liveness } = ports;
  const entry = metadata.partition(partition.partitionId);
  if (entry === undefined) return false;
  const { slots, replicationFactor } = partition.fragment;
  const serving = liveness.servingStorageNodes();
  if (serving.length < replicationFactor) return false;
  const present = new Set(slots.map(({ nodeId, incarnation }) => `${nodeId} ${incarnation}`));
  const live = new Set(serving.map(({ id, instance }) => `${id} ${instance}`));
  const left = slots.some(
    ({ nodeId, incarnation }) =>
      !live.has(`${nodeId} ${incarnation}`) &&
      (liveness.isStorageNodeLive(nodeId) || liveness.storageNodeSilentMs(nodeId) > NODE_GONE_AFTER_MS),
  );
  const joined = serving.some(
    ({ id, instance }) => !present.has(`${id} ${instance}`) && liveness.storageNodeKnownMs(id) > NODE_JOINED_AFTER_MS,
  );
  if (!left && !joined) return false;
  const chosen = chooseSlots({
    log: entry.log,
    partitionId: partition.partitionId,
    nodes: metadata.nodes(),
    liveness,
    lastSlots: slots,
  });
  return (
    chosen.length !== slots.length || chosen.some(({ nodeId, incarnation }) => !present.has(`${nodeId} ${incarnation}`))
  );
}

/** Writes what is known of the producers into the partition record; another time will do if it cannot be written now. */
export async function snapshotProducers({ metadata }: ActivationPorts, partition: ServingPartition): Promise<void> {
  const { partitionId, fragment, releasedOffset: producersAt, lastAppendTimeMs } = partition;
  const producers = partition.producerSnapshot();
  partition.snapshotTaken();
  const { record, revision } = await metadata.fetchRecord(partitionId);
  if (record === undefined) return;
  const open = openFragment(record);
  if (open?.epoch !== fragment.epoch || open.nonce !== fragment.nonce) return;
  const updated: PartitionRecord = { ...record, producersAt, producers, lastAppendTimeMs };
  await metadata.writeRecord({ record: updated, revision, isWritten: (stored) => stored.producersAt === producersAt });
}
