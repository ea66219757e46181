/**
 * Looks at the header of every segment before any of them is touched: a file of a newer format or of another data
 * directory stops the start, and a file that was not begun is removed.
 */
import {
  type Crc32,
  checkFrameHeader,
  FRAME_HEADER_BYTES,
  type Incarnation,
  type Logger,
  PyralogError,
  type SegmentDisk,
  type SegmentFile,
} from '@pyralog/shared/core';
import { isCommitMark } from '../commit-mark.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from '../segment-header.ts';

export interface FoundSegment {
  readonly segmentId: number;
  readonly size: number;
  /** `undefined` when it is damaged. */
  readonly header: SegmentHeader | undefined;
  /** `undefined` when neither the header nor the first commit mark tells it. */
  readonly segmentNonce: bigint | undefined;
}

export interface SegmentCheck {
  readonly disk: SegmentDisk;
  readonly incarnation: Incarnation;
  readonly crc32: Crc32;
  readonly logger: Logger;
}

/**
 * The segments there are, ascending.
 * @throws PyralogError `invalid` naming the segment that this process must not touch.
 */
export async function checkSegments(check: SegmentCheck): Promise<FoundSegment[]> {
  const found: FoundSegment[] = [];
  for (const segmentId of await check.disk.list()) {
    const file = await check.disk.open(segmentId);
    const segment = await examine(check, file).finally(() => file.close());
    if (segment.header === undefined && segment.size <= SEGMENT_HEADER_BYTES) {
      // The header is durable before anything follows it, so nothing was ever stored here.
      check.logger.info('segment that was not begun is removed', { segmentId, size: segment.size });
      await check.disk.remove(segmentId);
      continue;
    }
    if (segment.header === undefined)
      check.logger.error('segment header is damaged', { segmentId, size: segment.size });
    found.push(segment);
  }
  return found;
}

async function examine({ crc32, incarnation }: SegmentCheck, file: SegmentFile): Promise<FoundSegment> {
  const { segmentId, size } = file;
  const bytes = await file.read(0, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES);
  const header = decodeHeader(segmentId, bytes, crc32);
  if (header === undefined) return { segmentId, size, header, segmentNonce: nonceOfFirstMark(bytes, crc32) };
  if (header.incarnation !== incarnation) {
    throw foreign(segmentId, 'segment belongs to another data directory', {
      incarnation: header.incarnation,
      expected: incarnation,
    });
  }
  if (header.segmentId !== segmentId)
    throw foreign(segmentId, 'segment is not the one its name says', { headerSegmentId: header.segmentId });
  return { segmentId, size, header, segmentNonce: header.nonce };
}

function decodeHeader(segmentId: number, bytes: Uint8Array, crc32: Crc32): SegmentHeader | undefined {
  try {
    return decodeSegmentHeader(bytes, crc32);
  } catch (reason) {
    if (!(reason instanceof PyralogError)) throw reason;
    throw foreign(segmentId, reason.message, reason.fields);
  }
}

function foreign(segmentId: number, message: string, fields: PyralogError['fields']): PyralogError {
  return new PyralogError({ code: 'invalid', message, fields: { segmentId, ...fields } });
}

/** A segment whose header is lost still tells its nonce in the mark of its first commit. */
function nonceOfFirstMark(bytes: Uint8Array, crc32: Crc32): bigint | undefined {
  try {
    const mark = checkFrameHeader(bytes, crc32, SEGMENT_HEADER_BYTES);
    const place = { segmentNonce: mark.nonce, position: SEGMENT_HEADER_BYTES };
    return isCommitMark(mark, place) ? mark.nonce : undefined;
  } catch {
    return undefined;
  }
}
