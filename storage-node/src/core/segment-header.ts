/**
 * The first 64 bytes of a segment file; frames follow it back to back. Little-endian:
 *
 * | at | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic "PYSG" (0x47535950) |
 * | 4 | 4 | CRC-32 of bytes 8 to 64 |
 * | 8 | 1 | version, 1 |
 * | 9 | 7 | zero |
 * | 16 | 8 | segment id, u64, which also names the file |
 * | 24 | 8 | incarnation of the data directory, u64 |
 * | 32 | 8 | segment nonce, random u64: commit marks repeat it |
 * | 40 | 8 | created, ms since the Unix epoch, u64 |
 * | 48 | 8 | id of the segment before this one, u64; 0 when there was none |
 * | 56 | 8 | bytes of that segment which were durable when this one was created, u64 |
 *
 * Ids rise and are never reused. The header is made durable before anything follows it. The last two fields are what
 * lets a start tell the two ways in which a segment can follow another apart: after a full one, everything of which
 * was synced, or after a crash, when the tail of the one before is not proven durable and is being copied forward.
 */
import { type Crc32, hex64, type Incarnation, PyralogError, readU64, viewOf, writeU64 } from '@pyralog/shared/core';

export const SEGMENT_HEADER_BYTES = 64;
export const SEGMENT_MAGIC = 0x4753_5950;
export const SEGMENT_VERSION = 1;

export interface SegmentHeader {
  readonly segmentId: number;
  readonly incarnation: Incarnation;
  readonly nonce: bigint;
  readonly createdAtMs: number;
  /** 0 when there was none. */
  readonly previousSegmentId: number;
  readonly previousBytes: number;
}

const CRC_FROM = 8;

export function encodeSegmentHeader(header: SegmentHeader, crc32: Crc32): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint8(8, SEGMENT_VERSION);
  writeU64(view, 16, header.segmentId);
  view.setBigUint64(24, BigInt(`0x${header.incarnation}`), true);
  view.setBigUint64(32, header.nonce, true);
  writeU64(view, 40, header.createdAtMs);
  writeU64(view, 48, header.previousSegmentId);
  writeU64(view, 56, header.previousBytes);
  view.setUint32(4, crc32(bytes.subarray(CRC_FROM)), true);
  return bytes;
}

/**
 * Reads a segment's header; `undefined` when it is damaged or cut short.
 * @throws PyralogError `invalid` when it is sound but of a newer format: this process must not touch the file.
 */
export function decodeSegmentHeader(bytes: Uint8Array, crc32: Crc32): SegmentHeader | undefined {
  if (bytes.byteLength < SEGMENT_HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return undefined;
  if (view.getUint32(4, true) !== crc32(bytes.subarray(CRC_FROM, SEGMENT_HEADER_BYTES))) return undefined;
  const version = view.getUint8(8);
  if (version !== SEGMENT_VERSION) {
    throw new PyralogError({
      code: 'invalid',
      message: 'segment is of a format that this version does not read',
      fields: { field: 'version', version, limit: SEGMENT_VERSION },
    });
  }
  return {
    segmentId: readU64(view, 16),
    incarnation: hex64(view.getBigUint64(24, true)) as Incarnation,
    nonce: view.getBigUint64(32, true),
    createdAtMs: readU64(view, 40),
    previousSegmentId: readU64(view, 48),
    previousBytes: readU64(view, 56),
  };
}
