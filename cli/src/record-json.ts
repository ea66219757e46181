/** Records as JSON: one object a line, with text where the bytes are UTF-8 and `{"base64": …}` where they are not. */
import { isUtf8 } from 'node:buffer';
import type { ConsumedRecord } from '@pyralog/client';

export type BytesJson = string | { readonly base64: string } | null;

/** Exact both ways: a byte order mark stays, and bytes that are not UTF-8 are never replaced. Absent bytes are `null`. */
export function bytesToJson(bytes: Uint8Array | undefined): BytesJson {
  if (bytes === undefined) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(view) ? view.toString('utf8') : { base64: view.toString('base64') };
}

/** One line without its end. Headers are `[name, value]` pairs, since a name may occur more than once. */
export function recordToJson(record: ConsumedRecord): string {
  return JSON.stringify({
    partition: record.partition,
    offset: record.offset,
    epoch: record.epoch,
    timestamp: record.timestamp,
    key: bytesToJson(record.key),
    value: bytesToJson(record.value),
    headers: record.headers.map(([name, value]) => [name, bytesToJson(value)]),
  });
}
