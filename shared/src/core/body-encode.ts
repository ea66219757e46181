/**
 * Writes the body of a batch: byte for byte what cbor-x makes of the same tuples, and what a test holds it to.
 *
 * cbor-x itself is not used here because it finds the class of every byte string by a chain of `instanceof`, which costs
 * five times as much as all of this. It still decodes (`decodeRecords`).
 */
import { CBOR_MAJOR, CBOR_NULL, prefixSize } from './body-scan.ts';
import { utf8 } from './bytes.ts';
import { assert } from './errors.ts';
import { FRAME_HEADER_BYTES } from './frame.ts';
import type { ProducerRecord, RecordTuple } from './records.ts';
import { utf8Length } from './utf8.ts';

/** Up to this many bytes a loop copies faster than `set`. */
const COPIED_BY_LOOP_MAX = 24;

/** The frame of a batch with its body in place and room for the header: pass it to `writeClientHeader`. */
export function encodeBody(records: readonly RecordTuple[]): Uint8Array<ArrayBuffer> {
  let size = FRAME_HEADER_BYTES + prefixSize(records.length);
  for (const record of records) size += tupleSize(record);
  const frame = new Uint8Array(size);
  let position = writePrefix(frame, FRAME_HEADER_BYTES, CBOR_MAJOR.array, records.length);
  for (const record of records) position = writeRecord(frame, position, record);
  assert(position === size, 'encoded body differs from its size');
  return frame;
}

/** Encoded bytes of one record, an upper bound that is exact but for the timestamp (at most 4 bytes less). */
export function recordBytes(record: ProducerRecord, nameBytes: (name: string) => number = utf8Length): number {
  let size = 1 + 5 + stringSize(record.key?.byteLength) + stringSize(record.value?.byteLength);
  if (record.headers !== undefined && record.headers.length > 0) {
    size += prefixSize(record.headers.length * 2);
    for (const [name, value] of record.headers) size += stringSize(nameBytes(name)) + stringSize(value.byteLength);
  }
  return size;
}

/** Bytes of a string of `length`, or of the null that stands for none. */
function stringSize(length: number | undefined): number {
  return length === undefined ? 1 : prefixSize(length) + length;
}

function tupleSize(record: RecordTuple): number {
  const delta = record[0];
  assert(delta === (delta | 0), 'timestamp delta is not a 32-bit integer');
  let size =
    1 + prefixSize(delta < 0 ? ~delta : delta) + stringSize(record[1]?.byteLength) + stringSize(record[2]?.byteLength);
  const headers = record[3];
  if (headers !== undefined) {
    size += prefixSize(headers.length);
    for (const item of headers) size += stringSize(typeof item === 'string' ? utf8Length(item) : item.byteLength);
  }
  return size;
}

function writeRecord(frame: Uint8Array, start: number, record: RecordTuple): number {
  const delta = record[0];
  const headers = record[3];
  frame[start] = CBOR_MAJOR.array | (headers === undefined ? 3 : 4);
  let position =
    delta < 0
      ? writePrefix(frame, start + 1, CBOR_MAJOR.negative, ~delta)
      : writePrefix(frame, start + 1, CBOR_MAJOR.unsigned, delta);
  position = writeBytes(frame, position, record[1]);
  position = writeBytes(frame, position, record[2]);
  if (headers === undefined) return position;
  position = writePrefix(frame, position, CBOR_MAJOR.array, headers.length);
  for (const item of headers) {
    position = typeof item === 'string' ? writeText(frame, position, item) : writeBytes(frame, position, item);
  }
  return position;
}

function writeBytes(frame: Uint8Array, start: number, bytes: Uint8Array | null): number {
  if (bytes === null) {
    frame[start] = CBOR_NULL;
    return start + 1;
  }
  const length = bytes.byteLength;
  const position = writePrefix(frame, start, CBOR_MAJOR.bytes, length);
  if (length > COPIED_BY_LOOP_MAX) frame.set(bytes, position);
  else for (let index = 0; index < length; index++) frame[position + index] = bytes[index] ?? 0;
  return position + length;
}

function writeText(frame: Uint8Array, start: number, name: string): number {
  const length = utf8Length(name);
  const position = writePrefix(frame, start, CBOR_MAJOR.text, length);
  if (length > name.length) frame.set(utf8(name), position);
  else for (let index = 0; index < length; index++) frame[position + index] = name.charCodeAt(index);
  return position + length;
}

/** Writes the prefix of an item in its shortest form. */
function writePrefix(frame: Uint8Array, position: number, major: number, argument: number): number {
  if (argument < 24) {
    frame[position] = major | argument;
    return position + 1;
  }
  if (argument < 0x100) {
    frame[position] = major | 24;
    frame[position + 1] = argument;
    return position + 2;
  }
  if (argument < 0x1_0000) {
    frame[position] = major | 25;
    frame[position + 1] = argument >>> 8;
    frame[position + 2] = argument;
    return position + 3;
  }
  frame[position] = major | 26;
  frame[position + 1] = argument >>> 24;
  frame[position + 2] = argument >>> 16;
  frame[position + 3] = argument >>> 8;
  frame[position + 4] = argument;
  return position + 5;
}
