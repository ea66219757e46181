/**
 * The frame: one binary layout from client to disk to object storage. docs/FORMAT.md is its byte-exact table.
 *
 * A frame is a 96-byte little-endian header and a body. Two checksums (CRC-32, IEEE) cover one contiguous range each:
 * the *body checksum* covers what the client wrote (bytes 56 to the end), the *header checksum* covers everything that
 * was stamped and the body checksum (bytes 8 to 96). So the sequencer stamps a received frame in place, without
 * touching or summing the body again, and a batch that turns up under another partition, epoch or offset is detected.
 *
 * Nothing here trusts a length before it was compared with what remains.
 */
import { bytesEqual, readU64, viewOf, writeU64 } from './bytes.ts';
import { assert, PyralogError } from './errors.ts';
import type { Epoch, Nonce, Offset, PartitionId } from './ids.ts';
import { LIMITS } from './limits.ts';
import type { Crc32 } from './ports/crc32.ts';

export const FRAME_HEADER_BYTES = 96;
export const FRAME_MAGIC = 0x4152_5950; // "PYRA" as it lies in memory
export const FRAME_VERSION = 1;

/** What a frame is. Only `batch` travels; the others live in segment files. */
export const FRAME_KINDS = {
  /** Records. */
  batch: 1,
  /** In a segment: everything before this position was synced when this was written. A header only. */
  commit: 2,
  /** In a segment: the node refuses epochs below this one. A header only. */
  seal: 3,
} as const;
export type FrameKind = keyof typeof FRAME_KINDS;

export const CODECS = { none: 0 } as const;
export type Codec = keyof typeof CODECS;

export type Durability = 'fsync' | 'memory';

const KIND_OF_NUMBER: readonly (FrameKind | undefined)[] = [undefined, 'batch', 'commit', 'seal'];
const CODEC_OF_NUMBER: readonly (Codec | undefined)[] = ['none'];
const CODEC_MASK = 0x000f;
const STAMP_MEMORY_DURABILITY = 1;

const AT = {
  magic: 0,
  headerCrc: 4,
  partitionId: 8,
  epoch: 12,
  nonce: 16,
  baseOffset: 24,
  appendTimeMs: 32,
  releasedOffset: 40,
  stampFlags: 48,
  bodyCrc: 52,
  version: 56,
  kind: 57,
  flags: 58,
  frameLength: 60,
  recordCount: 64,
  baseSequence: 68,
  producerId: 72,
  baseTimestampMs: 80,
  producerEpoch: 88,
  reserved: 90,
  bodyBytes: 92,
} as const;

/** Where each checksum starts, in bytes from the start of the frame. */
export const HEADER_CRC_FROM = AT.partitionId;
export const BODY_CRC_FROM = AT.version;

/** What the client writes. */
export interface ClientHeader {
  readonly codec: Codec;
  readonly recordCount: number;
  /** 0 when the producer is not idempotent. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Sequence of the first record, u32; records of a batch take consecutive sequences, modulo 2^32. */
  readonly baseSequence: number;
  /** Milliseconds since the Unix epoch, to which the records' timestamp deltas are added. */
  readonly baseTimestampMs: number;
  /** Body bytes after decompression. */
  readonly bodyBytes: number;
}

/** What the sequencer stamps. */
export interface Stamp {
  readonly partitionId: PartitionId;
  readonly epoch: Epoch;
  readonly nonce: Nonce;
  readonly baseOffset: Offset;
  readonly appendTimeMs: number;
  /** High watermark of the partition when the batch was stamped. */
  readonly releasedOffset: Offset;
  readonly durability: Durability;
}

export interface FrameHeader extends ClientHeader, Stamp {
  readonly kind: FrameKind;
  /** Header and body, bytes. */
  readonly frameLength: number;
}

function corrupt(message: string, fields: Record<string, number> = {}): PyralogError {
  return new PyralogError({ code: 'corrupt', message, fields });
}

/**
 * Writes the client's part of the header into the first 96 bytes of `frame`, whose rest is the body, and the body
 * checksum. The stamped part stays zero until `stampFrame`.
 */
export function writeClientHeader(
  frame: Uint8Array,
  header: ClientHeader,
  crc32: Crc32,
  kind: FrameKind = 'batch',
): void {
  assert(frame.byteLength >= FRAME_HEADER_BYTES, 'frame is shorter than its header');
  const view = viewOf(frame);
  frame.fill(0, 0, FRAME_HEADER_BYTES);
  view.setUint32(AT.magic, FRAME_MAGIC, true);
  view.setUint8(AT.version, FRAME_VERSION);
  view.setUint8(AT.kind, FRAME_KINDS[kind]);
  view.setUint16(AT.flags, CODECS[header.codec], true);
  view.setUint32(AT.frameLength, frame.byteLength, true);
  view.setUint32(AT.recordCount, header.recordCount, true);
  view.setUint32(AT.baseSequence, header.baseSequence, true);
  view.setBigUint64(AT.producerId, header.producerId, true);
  writeU64(view, AT.baseTimestampMs, header.baseTimestampMs);
  view.setUint16(AT.producerEpoch, header.producerEpoch, true);
  view.setUint32(AT.bodyBytes, header.bodyBytes, true);
  view.setUint32(AT.bodyCrc, crc32(frame.subarray(BODY_CRC_FROM)), true);
}

/** Stamps a client's frame in place and writes the header checksum. The body and its checksum stay as they are. */
export function stampFrame(frame: Uint8Array, stamp: Stamp, crc32: Crc32): void {
  const view = viewOf(frame);
  view.setUint32(AT.partitionId, stamp.partitionId, true);
  view.setUint32(AT.epoch, stamp.epoch, true);
  view.setBigUint64(AT.nonce, stamp.nonce, true);
  writeU64(view, AT.baseOffset, stamp.baseOffset);
  writeU64(view, AT.appendTimeMs, stamp.appendTimeMs);
  writeU64(view, AT.releasedOffset, stamp.releasedOffset);
  view.setUint32(AT.stampFlags, stamp.durability === 'memory' ? STAMP_MEMORY_DURABILITY : 0, true);
  view.setUint32(AT.headerCrc, crc32(frame.subarray(HEADER_CRC_FROM, FRAME_HEADER_BYTES)), true);
}

/**
 * Reads the header at `position` of `bytes`, checking everything but the checksums: magic, version, kind, codec,
 * reserved bits, and that lengths and counts are within limits. The frame itself may reach past the end of `bytes`.
 * @throws PyralogError `corrupt`.
 */
export function readFrameHeader(bytes: Uint8Array, position = 0): FrameHeader {
  if (bytes.byteLength - position < FRAME_HEADER_BYTES) {
    throw corrupt('frame is shorter than its header', { length: bytes.byteLength - position });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + position, FRAME_HEADER_BYTES);
  if (view.getUint32(AT.magic, true) !== FRAME_MAGIC) throw corrupt('frame does not begin with its magic');
  const version = view.getUint8(AT.version);
  if (version !== FRAME_VERSION) throw corrupt('frame is of an unknown version', { version });
  const kind = KIND_OF_NUMBER[view.getUint8(AT.kind)];
  if (kind === undefined) throw corrupt('frame is of an unknown kind', { kind: view.getUint8(AT.kind) });
  const flags = view.getUint16(AT.flags, true);
  const codec = CODEC_OF_NUMBER[flags & CODEC_MASK];
  const stampFlags = view.getUint32(AT.stampFlags, true);
  if (codec === undefined || (flags & ~CODEC_MASK) !== 0 || (stampFlags & ~STAMP_MEMORY_DURABILITY) !== 0) {
    throw corrupt('frame has unknown flags', { flags, stampFlags });
  }
  if (view.getUint16(AT.reserved, true) !== 0) throw corrupt('frame has reserved bytes that are not zero');
  const frameLength = view.getUint32(AT.frameLength, true);
  if (frameLength < FRAME_HEADER_BYTES || frameLength > LIMITS.frameBytesMax) {
    throw corrupt('frame length is out of range', { frameLength, limit: LIMITS.frameBytesMax });
  }
  const recordCount = view.getUint32(AT.recordCount, true);
  if (recordCount > LIMITS.batchRecordsMax || (kind === 'batch' && recordCount === 0)) {
    throw corrupt('record count is out of range', { recordCount, limit: LIMITS.batchRecordsMax });
  }
  const bodyBytes = view.getUint32(AT.bodyBytes, true);
  if (codec === 'none' && bodyBytes !== frameLength - FRAME_HEADER_BYTES) {
    throw corrupt('body length does not match the frame', { bodyBytes, frameLength });
  }
  if (kind !== 'batch' && (recordCount !== 0 || frameLength !== FRAME_HEADER_BYTES)) {
    throw corrupt('frame without records has a body', { recordCount, frameLength });
  }
  const baseOffset = readU64(view, AT.baseOffset);
  if (baseOffset + recordCount > Number.MAX_SAFE_INTEGER) {
    throw corrupt('offset is out of range', { baseOffset, recordCount });
  }
  return {
    kind,
    codec,
    frameLength,
    recordCount,
    bodyBytes,
    partitionId: view.getUint32(AT.partitionId, true) as PartitionId,
    epoch: view.getUint32(AT.epoch, true) as Epoch,
    nonce: view.getBigUint64(AT.nonce, true) as Nonce,
    baseOffset: baseOffset as Offset,
    appendTimeMs: readU64(view, AT.appendTimeMs),
    releasedOffset: readU64(view, AT.releasedOffset) as Offset,
    durability: (stampFlags & STAMP_MEMORY_DURABILITY) === 0 ? 'fsync' : 'memory',
    producerId: view.getBigUint64(AT.producerId, true),
    producerEpoch: view.getUint16(AT.producerEpoch, true),
    baseSequence: view.getUint32(AT.baseSequence, true),
    baseTimestampMs: readU64(view, AT.baseTimestampMs),
  };
}

/**
 * Checks a client's frame that fills `bytes`: that it is a batch, the header's structure and the body checksum. A client
 * that could send a seal would fence a partition it has no right to.
 * @throws PyralogError `corrupt`.
 */
export function checkClientFrame(bytes: Uint8Array, crc32: Crc32): FrameHeader {
  const header = readFrameHeader(bytes);
  if (header.kind !== 'batch') throw corrupt('frame is not a batch');
  if (header.frameLength !== bytes.byteLength) {
    throw corrupt('frame length does not match the message', {
      frameLength: header.frameLength,
      length: bytes.byteLength,
    });
  }
  checkBody(bytes, 0, header, crc32);
  return header;
}

/**
 * Checks the stamped frame at `position` of `bytes`: structure, header checksum, then body checksum.
 * @throws PyralogError `corrupt`, also when the frame reaches past the end of `bytes`.
 */
export function checkFrame(bytes: Uint8Array, crc32: Crc32, position = 0): FrameHeader {
  const header = checkFrameHeader(bytes, crc32, position);
  if (header.frameLength > bytes.byteLength - position) {
    throw corrupt('frame is cut short', { frameLength: header.frameLength, length: bytes.byteLength - position });
  }
  checkBody(bytes, position, header, crc32);
  return header;
}

/**
 * Checks structure and header checksum of the stamped frame at `position`; its body may be absent.
 * @throws PyralogError `corrupt`.
 */
export function checkFrameHeader(bytes: Uint8Array, crc32: Crc32, position = 0): FrameHeader {
  const header = readFrameHeader(bytes, position);
  const expected = crc32(bytes.subarray(position + HEADER_CRC_FROM, position + FRAME_HEADER_BYTES));
  const view = new DataView(bytes.buffer, bytes.byteOffset + position, FRAME_HEADER_BYTES);
  if (view.getUint32(AT.headerCrc, true) !== expected) throw corrupt('header checksum does not match');
  return header;
}

function checkBody(bytes: Uint8Array, position: number, header: FrameHeader, crc32: Crc32): void {
  const expected = crc32(bytes.subarray(position + BODY_CRC_FROM, position + header.frameLength));
  const view = new DataView(bytes.buffer, bytes.byteOffset + position, FRAME_HEADER_BYTES);
  if (view.getUint32(AT.bodyCrc, true) !== expected) throw corrupt('body checksum does not match');
}

/** The body of the frame at `position`: a view, not a copy. */
export function frameBody(bytes: Uint8Array, header: FrameHeader, position = 0): Uint8Array {
  return bytes.subarray(position + FRAME_HEADER_BYTES, position + header.frameLength);
}

/** First offset after the batch. */
export function endOffset(header: FrameHeader): Offset {
  return (header.baseOffset + header.recordCount) as Offset;
}

/** Whether two stamped frames hold the same batch: the released offset, which rides along, does not count. */
export function sameBatch(a: Uint8Array, b: Uint8Array): boolean {
  return (
    bytesEqual(a.subarray(AT.partitionId, AT.releasedOffset), b.subarray(AT.partitionId, AT.releasedOffset)) &&
    bytesEqual(a.subarray(AT.stampFlags), b.subarray(AT.stampFlags))
  );
}

/** Builds a frame without records, for a segment: a commit mark or a seal. */
export function controlFrame(kind: 'commit' | 'seal', stamp: Omit<Stamp, 'durability'>, crc32: Crc32): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES);
  const header: ClientHeader = {
    codec: 'none',
    recordCount: 0,
    producerId: 0n,
    producerEpoch: 0,
    baseSequence: 0,
    baseTimestampMs: 0,
    bodyBytes: 0,
  };
  writeClientHeader(frame, header, crc32, kind);
  stampFrame(frame, { ...stamp, durability: 'fsync' }, crc32);
  return frame;
}
