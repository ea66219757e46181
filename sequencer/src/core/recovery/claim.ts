/**
 * Announces, by compare-and-set, the intent to open an epoch: its number is the ballot of the seals, its nonce the one
 * that the epoch will carry. Every claim has a number of its own, above every one known to the metadata or to a node.
 */
import { type Claim, type Epoch, type Nonce, openFragment, type PartitionRecord } from '@pyralog/shared/core';
import type { ActivationPorts } from '../activation.ts';
import type { StoredRecord } from '../metadata-view.ts';

export interface ClaimedRecord {
  readonly record: PartitionRecord;
  readonly revision: number;
  readonly claim: Claim;
}

/** Highest epoch that the metadata knows: opened, or only claimed. */
export function highestEpoch(record: PartitionRecord): Epoch {
  return Math.max(record.lastEpoch, record.claim?.epoch ?? 0) as Epoch;
}

/**
 * Claims the epoch after every known one, and after `seenEpoch`, which a storage node reported.
 * @param stored - the record as it was read.
 * @returns `undefined` when there is nothing to recover, or someone else wrote the record meanwhile.
 * @throws PyralogError when the metadata cannot be reached.
 */
export async function claim(
  { metadata, random, sequencerId }: ActivationPorts,
  { record, revision }: StoredRecord,
  seenEpoch: Epoch,
): Promise<ClaimedRecord | undefined> {
  if (record === undefined || record.fragments.length === 0 || record.halted !== undefined) return undefined;
  const epoch = (Math.max(highestEpoch(record), seenEpoch) + 1) as Epoch;
  const made: Claim = { epoch, sequencerId, nonce: random.u64() as Nonce };
  const claimed: PartitionRecord = { ...record, claim: made };
  const written = await metadata.writeRecord({
    record: claimed,
    revision,
    isWritten: (stored) => stored.claim?.nonce === made.nonce,
  });
  return written === undefined ? undefined : { ...written, claim: made };
}

/** Whether the partition's last epoch needs sealing before the next may open. */
export function isOpen(record: PartitionRecord): boolean {
  return openFragment(record) !== undefined;
}
