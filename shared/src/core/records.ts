/**
 * Records and the body of a batch: a CBOR array of `[timestampDelta, key, value, headers?]`.
 *
 * `timestampDelta` is a signed 32-bit integer added to the frame's base timestamp; key and value are byte strings or
 * null; headers are a flat array of name (text), value (bytes), name, value, … so that order and repetition are kept.
 * `encodeBody` writes that shape, `scanBody` accepts nothing else, `decodeRecords` reads it.
 */
import { Decoder } from 'cbor-x';
import { scanBody } from './body-scan.ts';
import { type FrameHeader, frameBody } from './frame.ts';
import type { Offset } from './ids.ts';

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

const decoder = new Decoder({ useRecords: false, tagUint8Array: false, variableMapSize: true });
const NO_HEADERS: RecordHeaders = [];

/**
 * Scans the body of the frame at `position` and decodes its records.
 * @throws PyralogError `corrupt` when the body is not of the shape above; `invalid` when a record exceeds its limit.
 */
export function decodeRecords(frame: Uint8Array, header: FrameHeader, position = 0): LogRecord[] {
  const body = frameBody(frame, header, position);
  scanBody(body, header.recordCount);
  const tuples: RecordTuple[] = decoder.decode(body);
  return tuples.map((tuple, index) => ({
    offset: (header.baseOffset + index) as Offset,
    timestampMs: header.baseTimestampMs + tuple[0],
    key: tuple[1] ?? undefined,
    value: tuple[2] ?? undefined,
    headers: tuple[3] === undefined ? NO_HEADERS : pairs(tuple[3]),
  }));
}

function pairs(flat: (string | Uint8Array)[]): RecordHeaders {
  const headers: (readonly [string, Uint8Array])[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    headers.push([flat[index] as string, flat[index + 1] as Uint8Array]);
  }
  return headers;
}
