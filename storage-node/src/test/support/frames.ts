/** Frames as a sequencer publishes them. */
import {
  type Durability,
  type Epoch,
  FRAME_HEADER_BYTES,
  type Nonce,
  type Offset,
  type PartitionId,
  type Stamp,
  stampFrame,
  writeClientHeader,
} from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';

export interface BatchFields {
  readonly partitionId?: number;
  readonly epoch?: number;
  readonly nonce?: bigint;
  readonly baseOffset?: number;
  readonly recordCount?: number;
  readonly releasedOffset?: number;
  readonly durability?: Durability;
  readonly bodyBytes?: number;
}

/** A stamped frame; its body is bytes, not records, which a storage node does not look at. */
export function batch(fields: BatchFields = {}): Uint8Array<ArrayBuffer> {
  const { partitionId = 1, epoch = 1, nonce = 11n, baseOffset = 0, recordCount = 1 } = fields;
  const { releasedOffset = 0, durability = 'fsync', bodyBytes = 40 } = fields;
  const frame = new Uint8Array(FRAME_HEADER_BYTES + bodyBytes).fill((partitionId * 31 + baseOffset) % 251);
  writeClientHeader(
    frame,
    {
      codec: 'none',
      recordCount,
      producerId: 0n,
      producerEpoch: 0,
      baseSequence: 0,
      baseTimestampMs: 1_000,
      bodyBytes,
    },
    nativeCrc32,
  );
  const stamp: Stamp = {
    partitionId: partitionId as PartitionId,
    epoch: epoch as Epoch,
    nonce: nonce as Nonce,
    baseOffset: baseOffset as Offset,
    appendTimeMs: 2_000 + baseOffset,
    releasedOffset: releasedOffset as Offset,
    durability,
  };
  stampFrame(frame, stamp, nativeCrc32);
  return frame;
}
