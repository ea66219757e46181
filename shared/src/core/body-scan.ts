/**
 * Walks an uncompressed body without decoding it, and refuses whatever `encodeBody` would not have written: another
 * shape, a count that differs from the header's, indefinite lengths, tags, floats, deeper nesting, a length or number
 * that is not in its shortest form, text that is not UTF-8.
 *
 * Whoever takes a body from outside scans it first; only then is it decoded. So a CBOR bomb never reaches the decoder,
 * a decoded body always has the shape of `RecordTuple[]`, and equal records have equal bytes.
 *
 * Nothing is allocated, and a length is compared with what remains before it is used.
 */
import { PyralogError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { isUtf8 } from './utf8.ts';

/** Major types of CBOR, in the upper three bits of an item's first byte (RFC 8949, section 3.1). */
export const CBOR_MAJOR = { unsigned: 0x00, negative: 0x20, bytes: 0x40, text: 0x60, array: 0x80 } as const;
export const CBOR_NULL = 0xf6;
/** A timestamp delta is in `[-TIMESTAMP_DELTA_MAX - 1, TIMESTAMP_DELTA_MAX]`: a signed 32-bit integer. */
export const TIMESTAMP_DELTA_MAX = 0x7fff_ffff;

const RECORD_WITHOUT_HEADERS = CBOR_MAJOR.array | 3;
const RECORD_WITH_HEADERS = CBOR_MAJOR.array | 4;
/** Stands for the byte after the last one: a break code, which no item begins with. */
const NOTHING = 0xff;

/**
 * Checks that `body` is an array of `recordCount` records as `encodeBody` writes them.
 * @throws PyralogError `corrupt` naming the position; `invalid` naming the limit that a record exceeds.
 */
export function scanBody(body: Uint8Array, recordCount: number): void {
  const count = readArgument(body, 0, CBOR_MAJOR.array);
  if (count !== recordCount) throw malformed('body does not hold the records that its header counts', 0);
  let position = prefixSize(count);
  for (let index = 0; index < recordCount; index++) {
    const end = skipRecord(body, position);
    if (end - position > LIMITS.recordBytesMax) throw tooLarge(end - position);
    position = end;
  }
  if (position !== body.byteLength) throw malformed('body has bytes after its records', position);
}

/** Bytes of the prefix of an item whose argument (a length, count or number) is `argument`. */
export function prefixSize(argument: number): number {
  return argument < 24 ? 1 : argument < 0x100 ? 2 : argument < 0x1_0000 ? 3 : 5;
}

function skipRecord(body: Uint8Array, start: number): number {
  const initial = body[start] ?? NOTHING;
  if (initial !== RECORD_WITHOUT_HEADERS && initial !== RECORD_WITH_HEADERS) {
    throw malformed('record is not an array of 3 or 4 items', start);
  }
  let position = skipTimestamp(body, start + 1);
  position = skipBytesOrNull(body, position);
  position = skipBytesOrNull(body, position);
  return initial === RECORD_WITHOUT_HEADERS ? position : skipHeaders(body, position);
}

function skipTimestamp(body: Uint8Array, position: number): number {
  const initial = body[position] ?? NOTHING;
  if (initial < 24) return position + 1;
  if (initial >= CBOR_MAJOR.bytes) throw malformed('timestamp is not an integer', position);
  const delta = readArgument(body, position, initial & CBOR_MAJOR.negative);
  if (delta > TIMESTAMP_DELTA_MAX) throw malformed('timestamp is out of range', position);
  return position + prefixSize(delta);
}

function skipBytesOrNull(body: Uint8Array, position: number): number {
  return body[position] === CBOR_NULL ? position + 1 : skipBytes(body, position);
}

function skipBytes(body: Uint8Array, position: number): number {
  const length = readArgument(body, position, CBOR_MAJOR.bytes);
  const end = position + prefixSize(length) + length;
  if (end > body.byteLength) throw malformed('string reaches past the body', position);
  return end;
}

function skipHeaders(body: Uint8Array, start: number): number {
  const items = readArgument(body, start, CBOR_MAJOR.array);
  if (items % 2 !== 0) throw malformed('headers are not pairs', start);
  if (items / 2 > LIMITS.recordHeadersMax) throw malformed('record has too many headers', start);
  let position = start + prefixSize(items);
  for (let index = 0; index < items; index += 2) position = skipBytes(body, skipText(body, position));
  return position;
}

function skipText(body: Uint8Array, position: number): number {
  const length = readArgument(body, position, CBOR_MAJOR.text);
  const from = position + prefixSize(length);
  if (length > body.byteLength - from) throw malformed('string reaches past the body', position);
  if (!isUtf8(body, from, from + length)) throw malformed('header name is not text', position);
  return from + length;
}

/**
 * The argument of the item of `major` at `position`, in its shortest form of at most 32 bits. Bytes of the prefix that
 * are past the end of the body count as zero: what follows the prefix is missing too, and the caller sees that.
 */
function readArgument(body: Uint8Array, position: number, major: number): number {
  const info = (body[position] ?? NOTHING) ^ major;
  if (info < 24) return info;
  if (info === 24) {
    const argument = byteAt(body, position + 1);
    if (argument >= 24) return argument;
  } else if (info === 25) {
    const argument = (byteAt(body, position + 1) << 8) | byteAt(body, position + 2);
    if (argument >= 0x100) return argument;
  } else if (info === 26) {
    const high = (byteAt(body, position + 1) << 8) | byteAt(body, position + 2);
    const low = (byteAt(body, position + 3) << 8) | byteAt(body, position + 4);
    if (high > 0) return high * 0x1_0000 + low;
  }
  throw info < 32
    ? malformed('body has a length that is indefinite, too long or not in its shortest form', position)
    : malformed('body has an item of another type', position);
}

function byteAt(body: Uint8Array, position: number): number {
  return body[position] ?? 0;
}

function malformed(message: string, position: number): PyralogError {
  return new PyralogError({ code: 'corrupt', message, fields: { position } });
}

function tooLarge(size: number): PyralogError {
  return new PyralogError({
    code: 'invalid',
    message: 'record is too large',
    fields: { field: 'record', size, limit: LIMITS.recordBytesMax },
  });
}
