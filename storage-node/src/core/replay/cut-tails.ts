/**
 * Cuts what was not proven durable from the segments in which it was found, once what was sound in it is durable
 * elsewhere. A segment of which nothing is left is removed, unless the index' checkpoint still lies in it. A cut that
 * fails is no harm: the next start does it again, and so does not find later segments cut before earlier ones.
 */
import { type BatchIndex, describeError, type Logger, type SegmentDisk } from '@pyralog/shared/core';
import { SEGMENT_HEADER_BYTES } from '../segment-header.ts';

/** A segment, and how much of it is proven durable. */
export interface ProvenPart {
  readonly segmentId: number;
  readonly provenBytes: number;
}

export interface TailCut {
  readonly disk: SegmentDisk;
  readonly index: BatchIndex;
  readonly logger: Logger;
  /** Ascending. */
  readonly tails: readonly ProvenPart[];
}

export async function cutTails({ disk, index, logger, tails }: TailCut): Promise<void> {
  for (const { segmentId, provenBytes } of tails) {
    try {
      const checkpoint = index.readCheckpoint();
      if (provenBytes <= SEGMENT_HEADER_BYTES && checkpoint !== undefined && checkpoint.segmentId > segmentId) {
        await disk.remove(segmentId);
      } else {
        const file = await disk.open(segmentId);
        await file.truncate(provenBytes).finally(() => file.close());
      }
      logger.info('unproven tail was cut from a segment', { segmentId, position: provenBytes });
    } catch (reason) {
      logger.warn('unproven tail was not cut from its segment', { segmentId, problem: describeError(reason) });
      return;
    }
  }
}
