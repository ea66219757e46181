/**
 * The commit mark: a `commit` frame that begins every commit in a segment. Commits are serialized, so a mark at
 * position P proves that everything before P was synced before it was written, whether or not the mark itself is.
 *
 * It repeats the segment's random nonce and its own position (as its base offset), so that neither a record which
 * contains the bytes of a mark nor an old mark in a recycled disk block passes for one.
 */
import {
  type Crc32,
  controlFrame,
  type Epoch,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  type Nonce,
  type Offset,
  type PartitionId,
} from '@pyralog/shared/core';

export const COMMIT_MARK_BYTES = FRAME_HEADER_BYTES;

export interface MarkPlace {
  readonly segmentNonce: bigint;
  readonly position: number;
}

export function encodeCommitMark(place: MarkPlace, writtenAtMs: number, crc32: Crc32): Uint8Array {
  return controlFrame(
    'commit',
    {
      partitionId: 0 as PartitionId,
      epoch: 0 as Epoch,
      nonce: place.segmentNonce as Nonce,
      baseOffset: place.position as Offset,
      appendTimeMs: writtenAtMs,
      releasedOffset: 0 as Offset,
    },
    crc32,
  );
}

/** Whether a frame that verifies is the commit mark of this place. */
export function isCommitMark(header: FrameHeader, place: MarkPlace): boolean {
  return header.kind === 'commit' && header.baseOffset === place.position && header.nonce === place.segmentNonce;
}
