/** A record as the application gave it, checked and turned into bytes. */
import { invalid, LIMITS, type RecordHeaders, recordBytes } from '@pyralog/shared/core';
import type { RecordInput } from './options.ts';
import type { TextSlab } from './text-slab.ts';

/** `recordBytes` takes it as it is. */
export interface PreparedRecord {
  key: Uint8Array | undefined;
  value: Uint8Array | undefined;
  headers: RecordHeaders | undefined;
  timestampMs: number;
  /** As asked for. */
  partition: number | undefined;
  /** Encoded bytes at most. */
  size: number;
}

export function emptyRecord(): PreparedRecord {
  return { key: undefined, value: undefined, headers: undefined, timestampMs: 0, partition: undefined, size: 0 };
}

/**
 * Fills `record` from `input`. One object serves for all records that go straight into their batch.
 * @throws PyralogError `invalid` naming the field, and its size and limit.
 */
export function prepare(
  record: PreparedRecord,
  input: RecordInput,
  options: { readonly nowMs: number; readonly recordBytesMax: number; readonly texts: TextSlab },
): void {
  const { nowMs, recordBytesMax, texts } = options;
  record.key = toBytes('key', input.key, texts);
  record.value = toBytes('value', input.value, texts);
  record.headers = input.headers === undefined ? undefined : toHeaders(input.headers, texts);
  record.timestampMs = input.timestamp ?? nowMs;
  record.partition = input.partition;
  if (!Number.isSafeInteger(record.timestampMs) || record.timestampMs < 0) {
    throw invalid('timestamp', 'timestamp is not whole milliseconds since the unix epoch', {
      value: record.timestampMs,
    });
  }
  record.size = recordBytes(record);
  if (record.size > recordBytesMax) {
    throw invalid('record', 'record is too large', { size: record.size, limit: recordBytesMax });
  }
}

function toBytes(field: string, value: Uint8Array | string | undefined, texts: TextSlab): Uint8Array | undefined {
  if (typeof value === 'string') return texts.encode(value);
  if (value === undefined || value instanceof Uint8Array) return value;
  throw invalid(field, 'record field is neither text nor bytes');
}

function toHeaders(headers: Exclude<RecordInput['headers'], undefined>, texts: TextSlab): RecordHeaders {
  const pairs = Array.isArray(headers) ? (headers as RecordHeaders) : Object.entries(headers);
  if (pairs.length > LIMITS.recordHeadersMax) {
    throw invalid('headers', 'record has too many headers', { count: pairs.length, limit: LIMITS.recordHeadersMax });
  }
  return pairs.map(([name, value]) => {
    const bytes = toBytes('headers', value, texts);
    if (typeof name !== 'string' || bytes === undefined) throw invalid('headers', 'header is not a name and its bytes');
    return [name, bytes] as const;
  });
}
