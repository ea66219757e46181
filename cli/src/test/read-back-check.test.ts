import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsumedRecord } from '@pyralog/client';
import { type Epoch, type Offset, PyralogError } from '@pyralog/shared/core';
import { ReadBackCheck } from '../demo/read-back-check.ts';

const appended = [flight('a', '1'), flight('b', '2'), flight('a', '3'), flight('a', '3')];

function flight(key: string, value: string) {
  return { key, value: Buffer.from(value) };
}

function record(partition: number, offset: number, key: string, value: string): ConsumedRecord {
  return {
    partition,
    offset: offset as Offset,
    epoch: 1 as Epoch,
    timestamp: 0,
    key: Buffer.from(key),
    value: Buffer.from(value),
    headers: [],
  };
}

function readBack(...records: ConsumedRecord[]): void {
  const check = new ReadBackCheck(appended);
  for (const each of records) check.record(each);
  check.finish();
}

function refusal(message: string) {
  return (reason: unknown) => reason instanceof PyralogError && reason.message === message;
}

test('records of different keys may come in any order, those of one key in theirs', () => {
  readBack(record(1, 0, 'b', '2'), record(0, 0, 'a', '1'), record(0, 1, 'a', '3'), record(0, 2, 'a', '3'));
  readBack(record(0, 0, 'a', '1'), record(0, 1, 'a', '3'), record(0, 2, 'a', '3'), record(0, 3, 'b', '2'));
});

test('a record that is missing is noticed', () => {
  assert.throws(
    () => readBack(record(0, 0, 'a', '1'), record(0, 1, 'a', '3'), record(1, 0, 'b', '2')),
    refusal('records did not come back'),
  );
});

test('a record that comes twice is noticed', () => {
  assert.throws(
    () => readBack(record(1, 0, 'b', '2'), record(1, 1, 'b', '2')),
    refusal('record came back more often than it was appended'),
  );
});

test('a record that was changed, or swapped with another of its key, is noticed', () => {
  const message = 'record read back differs from the one appended in its place';
  assert.throws(() => readBack(record(0, 0, 'b', '9')), refusal(message));
  assert.throws(() => readBack(record(0, 0, 'a', '3'), record(0, 1, 'a', '1')), refusal(message));
});

test('an unknown key, a key in two partitions, and a gap in the offsets are noticed', () => {
  assert.throws(() => readBack(record(0, 0, 'c', '1')), refusal('record read back has a key that was not appended'));
  assert.throws(
    () => readBack(record(0, 0, 'a', '1'), record(1, 0, 'a', '3')),
    refusal('key came back from two partitions'),
  );
  assert.throws(() => readBack(record(0, 1, 'a', '1')), refusal('record read back is not at the next offset'));
});
