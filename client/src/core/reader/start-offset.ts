/** Where a partition's reading begins, and where it ends when it does not follow. */
import { type Offset, PyralogError } from '@pyralog/shared/core';
import type { Closing } from '../closing.ts';
import { SETTINGS } from '../settings.ts';
import type { ReaderContext } from './context.ts';
import type { ReaderSettings } from './options.ts';
import { findReleasedOffset, noSuchPartition } from './released-offset.ts';

export interface Range {
  readonly from: Offset;
  /** Whether a batch begins at `from`. */
  readonly isBase: boolean;
  /** First offset that is not read; `undefined` when the reader follows. */
  readonly until: Offset | undefined;
}

/**
 * `undefined` when the reader was closed.
 * @throws PyralogError `trimmed` when the offset that was asked for is deleted; `invalid` when there is no such partition.
 */
export async function findRange(
  context: ReaderContext,
  partition: number,
  settings: ReaderSettings,
  closing: Closing,
): Promise<Range | undefined> {
  const { from, follow } = settings;
  const needsEnd = !follow || from === 'latest' || (typeof from === 'object' && 'last' in from);
  const patienceMs = SETTINGS.ownerPatienceMs;
  const released = needsEnd ? await findReleasedOffset(context, { partition, closing, patienceMs }) : undefined;
  if (needsEnd && released === undefined) return undefined;
  const view = await context.topology.get();
  const described = view.partitions[partition];
  if (described === undefined) throw noSuchPartition(partition, view);
  const { trimPoint } = described;
  const end = released ?? trimPoint;
  const until = follow ? undefined : end;
  if (from === 'earliest') return { from: trimPoint, isBase: false, until };
  if (from === 'latest') return { from: end, isBase: true, until };
  if ('last' in from) return { from: Math.max(trimPoint, end - from.last) as Offset, isBase: from.last === 0, until };
  if (from.offset < trimPoint) throw trimmed(partition, from.offset as Offset, trimPoint);
  return { from: from.offset as Offset, isBase: false, until };
}

export function trimmed(partition: number, offset: Offset, trimPoint: Offset): PyralogError {
  return new PyralogError({
    code: 'trimmed',
    message: 'records at the offset are deleted',
    fields: { partition, offset, trimPoint },
  });
}
