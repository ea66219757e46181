/**
 * Pins a partition to a sequencer, by compare-and-set on its record: the owner then hands it over, and takes it back only
 * when the other is gone.
 */
import { invalid, type LogName, type PartitionId, PyralogError, type SequencerId } from '@pyralog/shared/core';
import type { Liveness } from './liveness.ts';
import { unknownLog } from './log-admin.ts';
import type { MetadataView } from './metadata-view.ts';

const ATTEMPTS_MAX = 16;

/**
 * @param to - `undefined`: the ranking decides again.
 * @throws PyralogError `invalid` when there is no such log, partition or live sequencer; `unavailable` before the
 *   partition's first epoch.
 */
export async function movePartition(
  { metadata, liveness }: { readonly metadata: MetadataView; readonly liveness: Liveness },
  name: LogName,
  partition: number,
  to: SequencerId | undefined,
): Promise<void> {
  const log = metadata.log(name);
  if (log === undefined || log.state === 'deleting') throw unknownLog(name);
  if (partition >= log.partitionCount) {
    throw invalid('partition', 'log has no such partition', { partition, limit: log.partitionCount - 1 });
  }
  if (to !== undefined && !liveness.servingSequencers().some(({ id }) => id === to)) {
    throw invalid('to', 'no such sequencer takes partitions now', { to });
  }
  const partitionId = (log.firstPartitionId + partition) as PartitionId;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const { record, revision } = await metadata.fetchRecord(partitionId);
    if (record === undefined) {
      throw new PyralogError({
        code: 'unavailable',
        message: 'partition has no epoch yet',
        retry: 'same',
        fields: { partitionId },
      });
    }
    const { pinned: _, ...rest } = record;
    const written = await metadata.writeRecord({
      record: to === undefined ? rest : { ...rest, pinned: to },
      revision,
      isWritten: (stored) => stored.pinned === to,
    });
    if (written !== undefined) return;
  }
  throw new PyralogError({ code: 'overloaded', message: 'partition is being changed by too many at once' });
}
