/** A batch as it was received from a storage node or its owner, verified. */
import {
  type Crc32,
  checkFrame,
  decodeRecords,
  endOffset,
  type Fragment,
  type FrameHeader,
  type Offset,
  type PartitionId,
  PyralogError,
} from '@pyralog/shared/core';
import { asPyralogError } from '../producer/append-failure.ts';
import type { ConsumedBatch, ConsumedRecord } from './options.ts';

export interface StoredBatch {
  readonly header: FrameHeader;
  readonly frame: Uint8Array;
  /** First offset after it. */
  readonly end: Offset;
}

/**
 * Verifies the frame at `position` of `bytes` as a batch of a fragment.
 * @throws PyralogError `corrupt`: damaged, or of another partition, epoch or activation.
 */
export function verifyBatch(
  bytes: Uint8Array,
  position: number,
  expected: { readonly partitionId: PartitionId; readonly fragment: Fragment },
  crc32: Crc32,
): StoredBatch {
  const header = checkFrame(bytes, crc32, position);
  const { partitionId, fragment } = expected;
  const isExpected =
    header.kind === 'batch' &&
    header.partitionId === partitionId &&
    header.epoch === fragment.epoch &&
    header.nonce === fragment.nonce &&
    header.baseOffset >= fragment.start;
  if (!isExpected) {
    throw new PyralogError({ code: 'corrupt', message: 'frame is not of the fragment', fields: { partitionId } });
  }
  const frame = bytes.subarray(position, position + header.frameLength);
  return { header, frame, end: endOffset(header) };
}

/**
 * The records of a batch from `from` on.
 * @throws PyralogError `corrupt` naming the place: the checksums match, so every copy is like this.
 */
export function consume(batch: StoredBatch, partition: number, from: Offset): ConsumedBatch {
  const { header, frame, end } = batch;
  const { epoch, baseOffset } = header;
  try {
    const skipped = Math.max(0, from - baseOffset);
    const decoded = decodeRecords(frame, header);
    const records: ConsumedRecord[] = [];
    for (let index = skipped; index < decoded.length; index++) {
      const record = decoded[index];
      if (record === undefined) continue;
      const { offset, timestampMs: timestamp, key, value, headers } = record;
      records.push({ partition, offset, epoch, timestamp, key, value, headers });
    }
    return { partition, epoch, baseOffset: (baseOffset + skipped) as Offset, records };
  } catch (cause) {
    throw new PyralogError({
      code: 'corrupt',
      message: 'batch holds no well-formed records',
      fields: { partition, offset: baseOffset, nextOffset: end, problem: asPyralogError(cause).message },
      cause,
    });
  }
}
