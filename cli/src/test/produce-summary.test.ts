import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Epoch, Offset } from '@pyralog/shared/core';
import { ProduceSummary } from '../produce-summary.ts';

function ack(partition: number, offset: number, count: number) {
  return { partition, offset: offset as Offset, count, epoch: 1 as Epoch, timestamp: 0 };
}

test('a summary has the first and last offset and the count of each partition', () => {
  const summary = new ProduceSummary();
  summary.add(ack(1, 10, 5));
  summary.add(ack(0, 0, 1));
  summary.add(ack(1, 15, 2));
  assert.deepEqual(JSON.parse(summary.toJson({ bytes: 80, seconds: 0.5 })), {
    records: 8,
    bytes: 80,
    seconds: 0.5,
    partitions: { 0: { first: 0, last: 0, count: 1 }, 1: { first: 10, last: 16, count: 7 } },
  });
  assert.equal(
    summary.toText({ bytes: 80, seconds: 0.5 }),
    '8 records, 80 B in 0.50 s to 2 partitions (16 records/s, 160 B/s)',
  );
});
