/**
 * What the metadata buckets hold: JSON, checked on every read. docs/ARCHITECTURE.md has the table of keys.
 *
 * Bucket `cluster`: `config`, `partition-ids`, `log.<namespace>.<name>`, `node.<id>`. Buckets `epochs-<shard>`:
 * `p.<partitionId>`, one partition record each, in shard `partitionId mod shards`.
 */
import { z } from 'zod';
import { hex64, text, utf8 } from './bytes.ts';
import { STRATEGIES } from './copyset.ts';
import { PyralogError } from './errors.ts';
import {
  type Epoch,
  type Incarnation,
  isLogName,
  isNamespace,
  isProcessId,
  type LogName,
  type Nonce,
  type Offset,
  type PartitionId,
  type SequencerId,
  type StorageNodeId,
} from './ids.ts';
import { LIMITS } from './limits.ts';

const U32_MAX = 0xffff_ffff;
const whole = (maximum: number) => z.number().int().min(0).max(maximum);

export const partitionIdSchema = whole(U32_MAX).transform((value) => value as PartitionId);
export const epochSchema = whole(U32_MAX).transform((value) => value as Epoch);
export const offsetSchema = whole(Number.MAX_SAFE_INTEGER).transform((value) => value as Offset);
export const sequencerIdSchema = z
  .string()
  .refine(isProcessId)
  .transform((value) => value as SequencerId);
export const storageNodeIdSchema = z
  .string()
  .refine(isProcessId)
  .transform((value) => value as StorageNodeId);
export const incarnationSchema = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .transform((value) => value as Incarnation);
export const namespaceSchema = z.string().refine(isNamespace);
export const logNameSchema = z.string().refine(isLogName);
export const zoneSchema = z.string().min(1).max(63);
/** A nonce as 16 hexadecimal digits. */
export const nonceSchema = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .transform((value) => BigInt(`0x${value}`) as Nonce);

const replicationShape = {
  replicationFactor: z.number().int().min(1).max(LIMITS.replicationFactorMax),
  writeQuorum: z.number().int().min(1).max(LIMITS.replicationFactorMax),
  strategy: z.enum(STRATEGIES),
  seed: whole(U32_MAX),
  scatterWidth: z.number().int().min(1).max(LIMITS.scatterWidthMax),
  durability: z.enum(['fsync', 'memory']),
};

export const clusterConfigSchema = z.object({
  formatVersion: z.literal(1),
  epochShards: z.number().int().min(1).max(LIMITS.epochShardsMax),
});
export type ClusterConfig = z.infer<typeof clusterConfigSchema>;

/** The next partition id to give out. */
export const partitionIdsSchema = z.object({ next: partitionIdSchema });

export const logSchema = z.object({
  namespace: namespaceSchema,
  name: logNameSchema,
  /** Partitions are `[firstPartitionId, firstPartitionId + partitionCount)`. */
  firstPartitionId: partitionIdSchema,
  partitionCount: z.number().int().min(1).max(LIMITS.logPartitionsMax),
  ...replicationShape,
  createdAtMs: whole(Number.MAX_SAFE_INTEGER),
  state: z.enum(['active', 'deleting']),
});
/** A log's configuration. */
export type LogConfig = z.infer<typeof logSchema>;

export const nodeSchema = z.object({
  nodeId: storageNodeIdSchema,
  incarnation: incarnationSchema,
  zone: zoneSchema.optional(),
  registeredAtMs: whole(Number.MAX_SAFE_INTEGER),
});
/** A storage node's registration. */
export type NodeRegistration = z.infer<typeof nodeSchema>;

export const slotSchema = z.object({
  nodeId: storageNodeIdSchema,
  incarnation: incarnationSchema,
  zone: zoneSchema.optional(),
});

export const fragmentSchema = z
  .object({
    epoch: epochSchema,
    nonce: nonceSchema,
    sequencerId: sequencerIdSchema,
    start: offsetSchema,
    /** First offset after the fragment; absent while it is open. */
    end: offsetSchema.optional(),
    slots: z.array(slotSchema).min(1).max(LIMITS.nodesetNodesMax),
    ...replicationShape,
  })
  .superRefine((fragment, context) => {
    const { replicationFactor, writeQuorum, slots } = fragment;
    if (writeQuorum > replicationFactor || replicationFactor > slots.length) {
      context.addIssue({ code: 'custom', path: ['replicationFactor'], message: 'not W <= RF <= slots' });
    }
    if (new Set(slots.map((slot) => slot.nodeId)).size !== slots.length) {
      context.addIssue({ code: 'custom', path: ['slots'], message: 'a node fills two slots' });
    }
  });
/** One epoch's entry in a partition's metadata. A `Placement`. */
export type Fragment = z.infer<typeof fragmentSchema>;

/** A sequencer's intent to open `epoch`: the ballot of its seals, and the nonce that the epoch will have. */
export const claimSchema = z.object({ epoch: epochSchema, sequencerId: sequencerIdSchema, nonce: nonceSchema });
export type Claim = z.infer<typeof claimSchema>;

/** What an idempotent producer had appended when the record was written. */
export const producerSnapshotSchema = z.object({
  producerId: nonceSchema.transform((value) => value as bigint),
  epoch: whole(0xffff),
  nextSequence: whole(U32_MAX),
  /** Its last batches, oldest first. */
  batches: z
    .array(
      z.object({
        baseSequence: whole(U32_MAX),
        recordCount: whole(LIMITS.batchRecordsMax),
        epoch: epochSchema,
        baseOffset: offsetSchema,
        appendTimeMs: whole(Number.MAX_SAFE_INTEGER),
      }),
    )
    .max(LIMITS.producerBatchesRemembered),
});
export type ProducerSnapshot = z.infer<typeof producerSnapshotSchema>;

export const partitionRecordSchema = z
  .object({
    partitionId: partitionIdSchema,
    /** Highest epoch ever opened; an empty fragment is dropped when it closes, its epoch is not reused. */
    lastEpoch: epochSchema,
    fragments: z.array(fragmentSchema).max(LIMITS.fragmentsMax),
    /** Everything before it is deleted. */
    trimPoint: offsetSchema,
    /** Everything before it is safe in object storage. */
    tieredOffset: offsetSchema,
    /** Append time of the last batch when the last fragment was closed: append times never go back. */
    lastAppendTimeMs: whole(Number.MAX_SAFE_INTEGER),
    /** Who is taking over, under which epoch: the ballot of its seals. Gone when the epoch opens. */
    claim: claimSchema.optional(),
    /** To whom the last owner handed the partition when it closed its epoch: that one opens the next without sealing. */
    successor: sequencerIdSchema.optional(),
    /** The sequencer that shall own the partition while it lives, whatever the ranking says. */
    pinned: sequencerIdSchema.optional(),
    /** Why nobody may open an epoch of the partition: its metadata and its storage nodes contradict each other. */
    halted: z.string().max(1_000).optional(),
    /** What was known of the partition's producers at `producersAt`; headers of later batches tell the rest. */
    producersAt: offsetSchema,
    producers: z.array(producerSnapshotSchema).max(2 * LIMITS.partitionProducersMax),
  })
  .superRefine(({ fragments, lastEpoch }, context) => {
    for (const [index, fragment] of fragments.entries()) {
      const previous = fragments[index - 1];
      if (fragment.end !== undefined && fragment.end < fragment.start) {
        context.addIssue({ code: 'custom', path: ['fragments', index], message: 'fragment ends before it starts' });
      }
      if (previous !== undefined && (previous.end !== fragment.start || previous.epoch >= fragment.epoch)) {
        context.addIssue({
          code: 'custom',
          path: ['fragments', index],
          message: 'fragment does not follow the one before',
        });
      }
      if (fragment.epoch > lastEpoch) {
        context.addIssue({ code: 'custom', path: ['lastEpoch'], message: 'a fragment is of a later epoch' });
      }
    }
  });
/** A partition's metadata: fragments follow one another without a gap, epochs ascend, at most the last one is open. */
export type PartitionRecord = z.infer<typeof partitionRecordSchema>;

export const CLUSTER_KEYS = {
  config: 'config',
  partitionIds: 'partition-ids',
  logPrefix: 'log.',
  nodePrefix: 'node.',
  log: (log: LogName): string => `log.${log.namespace}.${log.name}`,
  node: (nodeId: StorageNodeId): string => `node.${nodeId}`,
} as const;

export const PARTITION_KEY_PREFIX = 'p.';
export function partitionKey(partitionId: PartitionId): string {
  return `${PARTITION_KEY_PREFIX}${partitionId}`;
}

/** Names of a cluster's buckets. */
export class Buckets {
  readonly #clusterName: string;

  constructor(clusterName: string) {
    this.#clusterName = clusterName;
  }
  get cluster(): string {
    return `pyra_${this.#clusterName}_cluster`;
  }
  epochs(shard: number): string {
    return `pyra_${this.#clusterName}_epochs-${shard}`;
  }
  epochsOf(partitionId: PartitionId, config: ClusterConfig): string {
    return this.epochs(partitionId % config.epochShards);
  }
}

/** JSON of a metadata value; bigints become 16 hexadecimal digits. */
export function encodeMetadata(value: unknown): Uint8Array<ArrayBuffer> {
  return utf8(JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? hex64(member) : member)));
}

/**
 * Reads a metadata value.
 * @throws PyralogError `corrupt` naming the key and what is wrong.
 */
export function decodeMetadata<T extends z.ZodType>(schema: T, key: string, value: Uint8Array): z.output<T> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text(value));
  } catch (cause) {
    throw new PyralogError({ code: 'corrupt', message: 'metadata is not JSON', fields: { key }, cause });
  }
  const result = schema.safeParse(parsed);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new PyralogError({
      code: 'corrupt',
      message: 'metadata is not well formed',
      fields: { key, field: issue?.path.join('.'), problem: issue?.message },
    });
  }
  return result.data;
}

export function partitionIdsOf(log: LogConfig): PartitionId[] {
  return Array.from({ length: log.partitionCount }, (_, index) => (log.firstPartitionId + index) as PartitionId);
}

/** The fragment that is open, if one is. */
export function openFragment(record: PartitionRecord): Fragment | undefined {
  const last = record.fragments.at(-1);
  return last !== undefined && last.end === undefined ? last : undefined;
}

/** Where the next fragment starts when none is open. */
export function closedEnd(record: PartitionRecord): Offset {
  return record.fragments.at(-1)?.end ?? record.trimPoint;
}

/** The fragment that holds `offset`: the open one holds everything from its start. */
export function fragmentAt(fragments: readonly Fragment[], offset: Offset): Fragment | undefined {
  return fragments.find(
    (fragment) => offset >= fragment.start && (fragment.end === undefined || offset < fragment.end),
  );
}
