/**
 * Records and the body of a batch: a CBOR array of `[timestampDelta, key, value, headers?]`.
 *
 * `timestampDelta` is an integer of at most 32 bits added to the frame's base timestamp; key and value are byte strings
 * or null; headers are a flat array of name (text), value (bytes), name, value, … so that order and repetition are kept.
 *
 * `scanBody` walks that shape without allocating and refuses everything else (indefinite lengths, tags, floats, deeper
 * nesting, a count that differs from the header's). Whoever takes a body from outside scans it first; only then is it
 * decoded, so a CBOR bomb never reaches the decoder.
 */
import { Encoder } from 'cbor-x';
import { PyralogError } from './errors.ts';
import { FRAME_HEADER_BYTES, type FrameHeader, frameBody } from './frame.ts';
import type { Offset } from './ids.ts';
import { LIMITS } from './limits.ts';

export type RecordHeaders = readonly (readonly [name: string, value: Uint8Array])[];

/** A record as a producer gives it. */
export interface ProducerRecord {
  readonly key?: Uint8Array | undefined;
  readonly value?: Uint8Array | undefined;
  readonly headers?: RecordHeaders | undefined;
  /** Milliseconds since the Unix epoch; the producer's clock when absent. */
  readonly timestampMs?: number | undefined;
}

/** A record as a reader gets it. Its bytes are views of the received message. */
export interface LogRecord {
  readonly offset: Offset;
  readonly timestampMs: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: RecordHeaders;
}

/** A record in the shape of the body. */
export type RecordTuple =
  | [timestampDelta: number, key: Uint8Array | null, value: Uint8Array | null]
  | [timestampDelta: number, key: Uint8Array | null, value: Uint8Array | null, headers: (string | Uint8Array)[]];

const codec = new Encoder({ useRecords: false, tagUint8Array: false, variableMapSize: true });

export const TIMESTAMP_DELTA_MAX = 0x7fff_ffff;

/** The frame of a batch with its body in place and room for the header: pass it to `writeClientHeader`. */
export function encodeBody(records: readonly RecordTuple[]): Uint8Array<ArrayBuffer> {
  const body = codec.encode(records);
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.byteLength);
  frame.set(body, FRAME_HEADER_BYTES);
  return frame;
}

/** Encoded bytes of one record, an upper bound that is exact but for the timestamp (at most 4 bytes less). */
export function recordBytes(record: ProducerRecord, nameBytes: (name: string) => number): number {
  let size = 1 + 5 + bytesSize(record.key) + bytesSize(record.value);
  if (record.headers !== undefined && record.headers.length > 0) {
    size += prefixSize(record.headers.length * 2);
    for (const [name, value] of record.headers) {
      const length = nameBytes(name);
      size += prefixSize(length) + length + bytesSize(value);
    }
  }
  return size;
}

function bytesSize(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 1 : prefixSize(bytes.byteLength) + bytes.byteLength;
}

function prefixSize(length: number): number {
  return length < 24 ? 1 : length < 0x100 ? 2 : length < 0x1_0000 ? 3 : 5;
}

/**
 * Decodes the records of a scanned body.
 * @throws PyralogError `corrupt` when the body is not of the shape above.
 */
export function decodeRecords(frame: Uint8Array, header: FrameHeader, position = 0): LogRecord[] {
  const body = frameBody(frame, header, position);
  scanBody(body, header.recordCount);
  const tuples: RecordTuple[] = codec.decode(body);
  return tuples.map((tuple, index) => ({
    offset: (header.baseOffset + index) as Offset,
    timestampMs: header.baseTimestampMs + tuple[0],
    key: tuple[1] ?? undefined,
    value: tuple[2] ?? undefined,
    headers: tuple[3] === undefined ? NO_HEADERS : pairs(tuple[3]),
  }));
}

const NO_HEADERS: RecordHeaders = [];

function pairs(flat: (string | Uint8Array)[]): RecordHeaders {
  const headers: (readonly [string, Uint8Array])[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    headers.push([flat[index] as string, flat[index + 1] as Uint8Array]);
  }
  return headers;
}

/**
 * Walks an uncompressed body and checks its shape, without decoding it.
 * @throws PyralogError `corrupt` naming the position; `invalid` naming the limit that a record exceeds.
 */
export function scanBody(body: Uint8Array, recordCount: number): void {
  const cursor: Cursor = { body, position: 0, length: 0 };
  readPrefix(cursor, MAJOR_ARRAY);
  if (cursor.length !== recordCount) throw malformed(cursor, 'body does not hold the records that its header counts');
  for (let index = 0; index < recordCount; index++) scanRecord(cursor);
  if (cursor.position !== body.byteLength) throw malformed(cursor, 'body has bytes after its records');
}

interface Cursor {
  readonly body: Uint8Array;
  position: number;
  /** Argument of the last prefix read. */
  length: number;
}

const MAJOR_UNSIGNED = 0;
const MAJOR_NEGATIVE = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const CBOR_NULL = 0xf6;

function scanRecord(cursor: Cursor): void {
  const start = cursor.position;
  readPrefix(cursor, MAJOR_ARRAY);
  const fields = cursor.length;
  if (fields !== 3 && fields !== 4) throw malformed(cursor, 'record is not an array of 3 or 4 items');
  scanInteger(cursor);
  scanBytesOrNull(cursor);
  scanBytesOrNull(cursor);
  if (fields === 4) scanHeaders(cursor);
  const size = cursor.position - start;
  if (size > LIMITS.recordBytesMax) {
    throw new PyralogError({
      code: 'invalid',
      message: 'record is too large',
      fields: { field: 'record', size, limit: LIMITS.recordBytesMax },
    });
  }
}

function scanInteger(cursor: Cursor): void {
  const major = (cursor.body[cursor.position] ?? 0xff) >> 5;
  if (major !== MAJOR_UNSIGNED && major !== MAJOR_NEGATIVE) throw malformed(cursor, 'timestamp is not an integer');
  readPrefix(cursor, major);
}

function scanBytesOrNull(cursor: Cursor): void {
  if (cursor.body[cursor.position] === CBOR_NULL) {
    cursor.position++;
    return;
  }
  skipString(cursor, MAJOR_BYTES);
}

function scanHeaders(cursor: Cursor): void {
  readPrefix(cursor, MAJOR_ARRAY);
  const items = cursor.length;
  if (items % 2 !== 0) throw malformed(cursor, 'headers are not pairs');
  if (items / 2 > LIMITS.recordHeadersMax) throw malformed(cursor, 'record has too many headers');
  for (let index = 0; index < items; index += 2) {
    skipString(cursor, MAJOR_TEXT);
    skipString(cursor, MAJOR_BYTES);
  }
}

function skipString(cursor: Cursor, major: number): void {
  readPrefix(cursor, major);
  if (cursor.length > cursor.body.byteLength - cursor.position) throw malformed(cursor, 'string reaches past the body');
  cursor.position += cursor.length;
}

/** Reads the prefix of an item of `major` with a definite argument of at most 32 bits into `cursor.length`. */
function readPrefix(cursor: Cursor, major: number): void {
  const { body } = cursor;
  const initial = body[cursor.position];
  if (initial === undefined || initial >> 5 !== major) throw malformed(cursor, 'body has an item of another type');
  const info = initial & 0x1f;
  if (info < 24) {
    cursor.position += 1;
    cursor.length = info;
    return;
  }
  const width = info === 24 ? 1 : info === 25 ? 2 : info === 26 ? 4 : 0;
  if (width === 0) throw malformed(cursor, 'body has a length that is indefinite or too long');
  if (cursor.position + 1 + width > body.byteLength) throw malformed(cursor, 'body is cut short');
  let value = 0;
  for (let index = 1; index <= width; index++) value = value * 256 + (body[cursor.position + index] ?? 0);
  cursor.position += 1 + width;
  cursor.length = value;
}

function malformed(cursor: Cursor, message: string): PyralogError {
  return new PyralogError({ code: 'corrupt', message, fields: { position: cursor.position } });
}
