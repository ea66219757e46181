/**
 * Ends a reign in good order: no more appends, the window drained, the fragment closed by one compare-and-set. Whoever
 * comes next opens the next epoch without recovery, and no append of a client fails.
 */
import {
  type Clock,
  delay,
  type Offset,
  openFragment,
  type ProducerSnapshot,
  PyralogError,
  type SequencerId,
} from '@pyralog/shared/core';
import type { MetadataView, StoredRecord } from './metadata-view.ts';
import type { ServingPartition } from './serving-partition.ts';

/** Longest wait for the copies of what was admitted. After it the epoch stays open and needs recovery. */
const DRAIN_MS_MAX = 8_000;
const ATTEMPTS_MAX = 20;
const RETRY_AFTER_MS = 250;

export interface ClosingPorts {
  readonly metadata: MetadataView;
  readonly clock: Clock;
}

/**
 * @param successor - who is to open the next epoch; it may do so without sealing this one.
 * @returns whether the fragment was closed. Either way the partition has stopped.
 * @throws PyralogError `unavailable` or `timeout` when the metadata cannot be reached; the partition goes on, unless it was
 *   found out only when its end was to be written.
 */
export async function closePartition(
  { metadata, clock }: ClosingPorts,
  partition: ServingPartition,
  successor: SequencerId | undefined,
): Promise<boolean> {
  const read = (): Promise<StoredRecord> => metadata.fetchRecord(partition.partitionId);
  // Before appends are refused: they wait for everything that comes after.
  const stored = await persistently(clock, read);
  const drained = await Promise.race([
    partition.drain().then(() => true),
    delay(clock, DRAIN_MS_MAX).then(() => false),
  ]);
  const { releasedOffset, lastAppendTimeMs } = partition;
  const end: End = { end: releasedOffset, lastAppendTimeMs, producers: partition.producerSnapshot(), successor };
  // A partition that was fenced meanwhile is not ours to close.
  const stillOurs = partition.state === 'draining';
  partition.stop();
  if (!drained || !stillOurs) return false;
  if (await persistently(clock, () => writeEnd(metadata, partition, end, stored))) return true;
  // Perhaps the record was changed after it was read, by whoever pins the partition for instance.
  return persistently(clock, async () => writeEnd(metadata, partition, end, await read()));
}

/** @throws PyralogError what the last attempt failed with. */
async function persistently<Result>(clock: Clock, attempt: () => Promise<Result>): Promise<Result> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof PyralogError) || attempts === ATTEMPTS_MAX) throw error;
      await delay(clock, RETRY_AFTER_MS);
    }
  }
}

interface End {
  readonly end: Offset;
  readonly lastAppendTimeMs: number;
  readonly producers: ProducerSnapshot[];
  readonly successor: SequencerId | undefined;
}

async function writeEnd(
  metadata: MetadataView,
  { fragment }: ServingPartition,
  { end, lastAppendTimeMs, producers, successor }: End,
  { record, revision }: StoredRecord,
): Promise<boolean> {
  if (record === undefined) return false;
  const open = openFragment(record);
  if (open === undefined || open.epoch !== fragment.epoch || open.nonce !== fragment.nonce) {
    const ours = record.fragments.find(({ epoch, nonce }) => epoch === fragment.epoch && nonce === fragment.nonce);
    return ours?.end === end;
  }
  const before = record.fragments.slice(0, -1);
  // An empty fragment holds nothing that a reader could ask for; `lastEpoch` remembers that its epoch was used.
  const fragments = end === fragment.start ? before : [...before, { ...open, end }];
  const closed = { ...record, fragments, lastAppendTimeMs, producersAt: end, producers };
  const written = await metadata.writeRecord({
    record: successor === undefined ? closed : { ...closed, successor },
    revision,
    isWritten: (stored) => stored.lastEpoch === fragment.epoch && openFragment(stored) === undefined,
  });
  return written !== undefined;
}
