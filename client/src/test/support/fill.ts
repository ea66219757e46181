/** Fills a fake cluster's log, and reads it with a bound on the time that it takes. */
import { text } from '@pyralog/shared/core';
import type { ConsumedRecord, Reader } from '../../core/index.ts';
import { type FakeCluster, LOG } from './fake-cluster.ts';

/** Appends records `<first> …`, `recordsPerBatch` to a batch, and waits until they are released everywhere. */
export async function fill(
  cluster: FakeCluster,
  options: { count: number; first?: number; partition?: number; recordsPerBatch?: number; padding?: number },
): Promise<void> {
  const { count, first = 0, partition = 0, recordsPerBatch = 1, padding = 0 } = options;
  const { client } = cluster.client();
  const producer = client.producer(LOG, { lingerMs: 0 });
  for (let index = 0; index < count; index += recordsPerBatch) {
    const records = Array.from({ length: Math.min(recordsPerBatch, count - index) }, (_, record) => ({
      value: String(first + index + record).padEnd(padding, '.'),
      partition,
    }));
    await cluster.clock.until(producer.appendBatch(records));
  }
  await cluster.clock.until(client.close());
}

/** The next `count` records, or all up to the end. */
export async function take(
  cluster: FakeCluster,
  reader: Reader,
  count = Number.POSITIVE_INFINITY,
): Promise<ConsumedRecord[]> {
  const records: ConsumedRecord[] = [];
  const iterator = reader[Symbol.asyncIterator]();
  while (records.length < count) {
    const next = await cluster.clock.until(iterator.next());
    if (next.done === true) break;
    records.push(next.value);
  }
  return records;
}

export function valueIn(record: ConsumedRecord): string {
  return record.value === undefined ? '' : text(record.value).replace(/\.+$/, '');
}

/** Whether `records` are those of `[from, until)`, one after another. */
export function isSequence(records: readonly ConsumedRecord[], from: number, until: number): boolean {
  return (
    records.length === until - from &&
    records.every((record, index) => record.offset === from + index && valueIn(record) === String(from + index))
  );
}
