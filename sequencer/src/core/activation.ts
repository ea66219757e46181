/**
 * Opens the next epoch of a partition without recovery: one compare-and-set of the partition record. That is sound when
 * the partition never had an epoch, or when its last owner closed it and named this sequencer as its successor. In every
 * other case `recovery/recover.ts` seals the last epoch first. Nothing of the new epoch is accepted before the write
 * succeeded.
 */
import {
  closedEnd,
  type Epoch,
  type Fragment,
  LIMITS,
  type LogConfig,
  type Nonce,
  type Offset,
  openFragment,
  type PartitionId,
  type PartitionRecord,
  PyralogError,
  type Random,
  type SequencerId,
} from '@pyralog/shared/core';
import type { Liveness } from './liveness.ts';
import type { MetadataView, StoredRecord } from './metadata-view.ts';
import { chooseSlots } from './nodeset.ts';
import { highestEpoch } from './recovery/claim.ts';

export interface ActivationPorts {
  readonly metadata: MetadataView;
  readonly liveness: Liveness;
  readonly random: Random;
  readonly sequencerId: SequencerId;
}

export type Activation =
  | { readonly kind: 'opened'; readonly fragment: Fragment; readonly record: PartitionRecord }
  /** Someone else wrote the record meanwhile: look at it again. */
  | { readonly kind: 'lost' }
  /** The last epoch must be sealed first. */
  | { readonly kind: 'needs-recovery'; readonly stored: StoredRecord }
  /** A storage node has promised a higher epoch: claim above it. */
  | { readonly kind: 'outbid'; readonly sealedEpoch: Epoch }
  /** Metadata and storage nodes contradict each other. */
  | { readonly kind: 'halted' };

/** @throws PyralogError `unavailable` when too few storage nodes live or the metadata cannot be reached. */
export async function activate(ports: ActivationPorts, log: LogConfig, partitionId: PartitionId): Promise<Activation> {
  const { metadata, sequencerId } = ports;
  const known = metadata.knownRecord(partitionId);
  if (known?.record !== undefined && isHandedTo(known.record, sequencerId)) {
    // Appends wait for this: what the last owner's write told is tried before the record is asked for.
    const activation = await open(ports, log, partitionId, known);
    if (activation.kind !== 'lost') return activation;
  }
  return open(ports, log, partitionId, await metadata.fetchRecord(partitionId));
}

function isHandedTo(record: PartitionRecord, sequencerId: SequencerId): boolean {
  return record.successor === sequencerId && openFragment(record) === undefined;
}

async function open(
  ports: ActivationPorts,
  log: LogConfig,
  partitionId: PartitionId,
  stored: StoredRecord,
): Promise<Activation> {
  const { metadata, random, sequencerId } = ports;
  const record = stored.record ?? emptyRecord(partitionId);
  if (record.halted !== undefined) return { kind: 'halted' };
  if (record.fragments.length > 0 && !isHandedTo(record, sequencerId)) return { kind: 'needs-recovery', stored };
  const fragment = newFragment(ports, log, record, {
    epoch: (highestEpoch(record) + 1) as Epoch,
    nonce: random.u64() as Nonce,
    start: closedEnd(record),
  });
  const { successor: _, claim: __, ...rest } = record;
  const opened: PartitionRecord = { ...rest, lastEpoch: fragment.epoch, fragments: [...record.fragments, fragment] };
  const written = await metadata.writeRecord({
    record: opened,
    revision: stored.revision,
    isWritten: (now) => now.fragments.some(({ epoch, nonce }) => epoch === fragment.epoch && nonce === fragment.nonce),
  });
  return written === undefined ? { kind: 'lost' } : { kind: 'opened', fragment, record: opened };
}

/**
 * The fragment of an epoch that is about to open, on the storage nodes that live now.
 * @throws PyralogError `unavailable` when too few storage nodes live; `read-only` when the record has no room for more.
 */
export function newFragment(
  { metadata, liveness, sequencerId }: ActivationPorts,
  log: LogConfig,
  record: PartitionRecord,
  reign: { epoch: Epoch; nonce: Nonce; start: Offset },
): Fragment {
  const { replicationFactor, writeQuorum, strategy, seed, scatterWidth, durability } = log;
  const lastSlots = record.fragments.at(-1)?.slots ?? [];
  if (record.fragments.length >= LIMITS.fragmentsMax) {
    throw new PyralogError({
      code: 'read-only',
      message: 'partition has had too many epochs for its record',
      fields: { partitionId: record.partitionId, limit: LIMITS.fragmentsMax },
    });
  }
  return {
    ...reign,
    sequencerId,
    slots: chooseSlots({ log, partitionId: record.partitionId, nodes: metadata.nodes(), liveness, lastSlots }),
    replicationFactor,
    writeQuorum,
    strategy,
    seed,
    scatterWidth,
    durability,
  };
}

function emptyRecord(partitionId: PartitionId): PartitionRecord {
  return {
    partitionId,
    lastEpoch: 0 as Epoch,
    fragments: [],
    trimPoint: 0 as Offset,
    tieredOffset: 0 as Offset,
    lastAppendTimeMs: 0,
    producersAt: 0 as Offset,
    producers: [],
  };
}
