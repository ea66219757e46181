/** How many records make a batch, and the values that fill them. */
import { randomFillSync } from 'node:crypto';
import { encodeBody, FRAME_HEADER_BYTES, LIMITS, type RecordTuple, recordBytes } from '@pyralog/shared/core';

export interface BatchShape {
  /** Bytes of a record's value; it has no key and no headers. */
  readonly recordBytes: number;
  /** The bound under which a producer gathers so many records. */
  readonly batchBytes: number;
  readonly recordsPerBatch: number;
  /** Bytes of the encoded frame: what travels and is stored. */
  readonly frameBytes: number;
}

/** Header, and the longest prefix of the array of records. */
const FRAME_PREFIX_BYTES = FRAME_HEADER_BYTES + 5;
/** Bytes from which values are cut, so that neighbours differ. */
const POOL_BYTES = 1_048_576;

/** The largest batch that a producer makes within `batchBytes`: one record at least. */
export function batchShape(valueBytes: number, batchBytes: number): BatchShape {
  const value = new Uint8Array(valueBytes);
  const room = Math.floor((batchBytes - FRAME_PREFIX_BYTES) / recordBytes({ value }));
  const recordsPerBatch = Math.min(LIMITS.batchRecordsMax, Math.max(1, room));
  const tuples = new Array<RecordTuple>(recordsPerBatch).fill([0, null, value]);
  return { recordBytes: valueBytes, batchBytes, recordsPerBatch, frameBytes: encodeBody(tuples).byteLength };
}

/** `count` random values. */
export function randomValues(valueBytes: number, count: number): Uint8Array[] {
  const pool = randomFillSync(new Uint8Array(Math.max(POOL_BYTES, valueBytes + count)));
  const step = Math.max(1, Math.floor((pool.byteLength - valueBytes) / count));
  return Array.from({ length: count }, (_, index) => pool.subarray(index * step, index * step + valueBytes));
}
