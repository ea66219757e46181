/** The segment that is being written, and how a new one begins. */
import {
  type Crc32,
  describeError,
  type Incarnation,
  type Logger,
  type Random,
  type SegmentDisk,
  type SegmentFile,
} from '@pyralog/shared/core';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.ts';

export interface ActiveSegment {
  readonly file: SegmentFile;
  readonly segmentNonce: bigint;
  /** Where the next commit goes; everything before it is durable. */
  position: number;
}

export interface SegmentCreation {
  readonly disk: SegmentDisk;
  readonly incarnation: Incarnation;
  readonly random: Random;
  readonly crc32: Crc32;
  readonly logger: Logger;
  /** The last segment that a restart found, if there is one, and how much of it is proven durable. */
  readonly previous: { readonly segmentId: number; readonly provenBytes: number } | undefined;
  /** Ids are given out from here on. */
  nextSegmentId: number;
}

/**
 * Creates the segment after `active`, all of which is durable, with its header durable.
 * @throws PyralogError as the disk does; what was created is removed again when the disk is full.
 */
export async function createSegment(
  creation: SegmentCreation,
  active: ActiveSegment | undefined,
  nowMs: number,
): Promise<ActiveSegment> {
  const { disk, incarnation, random, crc32, previous } = creation;
  const segmentId = creation.nextSegmentId++;
  const segmentNonce = random.u64();
  const header = encodeSegmentHeader(
    {
      segmentId,
      incarnation,
      nonce: segmentNonce,
      createdAtMs: nowMs,
      previousSegmentId: active?.file.segmentId ?? previous?.segmentId ?? 0,
      previousBytes: active?.position ?? previous?.provenBytes ?? 0,
    },
    crc32,
  );
  const file = await disk.create(segmentId);
  try {
    await file.append(0, [header]);
    await file.sync();
  } catch (reason) {
    await discard(creation, file);
    throw reason;
  }
  return { file, segmentNonce, position: SEGMENT_HEADER_BYTES };
}

/** A segment that holds no whole header is removed; a start would do the same. */
async function discard(creation: SegmentCreation, file: SegmentFile): Promise<void> {
  try {
    await file.close();
    await creation.disk.remove(file.segmentId);
  } catch (reason) {
    creation.logger.warn('segment that was not begun was not removed', {
      segmentId: file.segmentId,
      problem: describeError(reason),
    });
  }
}
