/** What clients know of a log: who orders each partition, and where its records are. */
import { z } from 'zod';
import { LIMITS } from '../limits.ts';
import {
  claimSchema,
  epochSchema,
  fragmentSchema,
  logSchema,
  nonceSchema,
  offsetSchema,
  partitionIdSchema,
  sequencerIdSchema,
  storageNodeIdSchema,
} from '../metadata.ts';

/**
 * `serving`: its owner takes appends. `unowned`: nobody has opened its next epoch yet. `recovery-needed`: its owner died
 * and left its epoch open; another one is about to take it over. `halted`: its metadata contradicts its storage nodes.
 */
export const partitionStateSchema = z.enum(['serving', 'unowned', 'recovery-needed', 'halted']);
export type PartitionAvailability = z.infer<typeof partitionStateSchema>;

export const partitionTopologySchema = z.object({
  partitionId: partitionIdSchema,
  /** Number of the partition within its log. */
  partition: z.number().int().min(0),
  state: partitionStateSchema,
  /** The owner of the open fragment, if there is one. */
  sequencerId: sequencerIdSchema.optional(),
  lastEpoch: epochSchema,
  trimPoint: offsetSchema,
  fragments: z.array(fragmentSchema),
  /** The sequencer that shall own it while it lives. */
  pinned: sequencerIdSchema.optional(),
  /** Who is taking over, under which epoch. */
  claim: claimSchema.optional(),
  /** Why it is halted. */
  halted: z.string().optional(),
});
export type PartitionTopology = z.infer<typeof partitionTopologySchema>;

export const logTopologySchema = z.object({
  log: logSchema,
  /** Partitions `[from, from + partitions.length)` of the log, in order. */
  partitions: z.array(partitionTopologySchema).max(LIMITS.topologyPartitionsMax),
});
export type LogTopology = z.infer<typeof logTopologySchema>;

/** Announced when a partition's owner or fragments change: ask again. */
export const topologyHintSchema = z.object({
  partition: z.number().int().min(0),
  epoch: epochSchema,
  /** Who has opened the epoch and takes appends; absent when the epoch was closed. */
  sequencerId: sequencerIdSchema.optional(),
});
export type TopologyHint = z.infer<typeof topologyHintSchema>;

/** Client to owner: how far is each of these partitions. */
export const partitionStatusRequestSchema = z.object({
  partitionIds: z.array(partitionIdSchema).min(1).max(LIMITS.topologyPartitionsMax),
});
export const partitionStatusSchema = z.object({
  partitionId: partitionIdSchema,
  epoch: epochSchema,
  nonce: nonceSchema,
  /** High watermark: readers may read what is before it. */
  releasedOffset: offsetSchema,
  /** Next offset to be given out. */
  nextOffset: offsetSchema,
  windowBytes: z.number().int().min(0),
});
export type PartitionStatus = z.infer<typeof partitionStatusSchema>;
export const recoveryStatusSchema = z.object({
  partitionId: partitionIdSchema,
  phase: z.enum(['claim', 'seal', 'write-back', 'open']),
  /** Storage nodes without which nothing can be decided. */
  blockedBy: z.array(storageNodeIdSchema),
  forMs: z.number().int().min(0),
});
export type RecoveryProgress = z.infer<typeof recoveryStatusSchema>;
/** Partitions that the sequencer neither owns nor takes over are left out. */
export const partitionStatusReplySchema = z.object({
  partitions: z.array(partitionStatusSchema),
  recovering: z.array(recoveryStatusSchema),
});
