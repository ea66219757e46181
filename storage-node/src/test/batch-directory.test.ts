/** The directory over memory and index together, and the small structures beside it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BatchLocation,
  type Epoch,
  LIMITS,
  type Offset,
  type PartitionId,
  silentLogger,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { BatchDirectory } from '../core/batch-directory.ts';
import { Fifo } from '../core/fifo.ts';
import { Turnstile } from '../core/read/turnstile.ts';
import { RecentBatches } from '../core/recent-batches.ts';
import { looseClock, settle } from './support/loose-clock.ts';
import { MemoryIndex } from './support/memory-index.ts';

function location(partitionId: number, epoch: number, baseOffset: number, recordCount: number): BatchLocation {
  return {
    partitionId: partitionId as PartitionId,
    epoch: epoch as Epoch,
    baseOffset: baseOffset as Offset,
    recordCount,
    appendTimeMs: 0,
    segmentId: 1,
    position: 64 + baseOffset,
    length: 100,
  };
}

function directoryOn(
  index: MemoryIndex,
  onFatal: (reason: unknown) => void = () => assert.fail('fatal'),
): BatchDirectory {
  return new BatchDirectory({
    index,
    clock: looseClock,
    logger: silentLogger,
    checkpointIntervalMs: 1_000_000,
    onFatal,
  });
}

test('the directory answers the same wherever a batch is: in memory, on its way, in the index', async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('add' as const),
        partition: fc.integer({ min: 1, max: 2 }),
        slot: fc.nat(40),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'settle' as const }) },
  );
  const query = fc.record({
    partition: fc.integer({ min: 1, max: 2 }),
    from: fc.nat(180),
    length: fc.nat(60),
    limit: fc.integer({ min: 1, max: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.array(query, { minLength: 5, maxLength: 5 }),
      async (steps, queries) => {
        const directory = directoryOn(new MemoryIndex());
        const stored = new Map<string, BatchLocation>();
        for (const each of steps) {
          if (each.kind === 'flush') void directory.flush();
          else if (each.kind === 'settle') await settle(2);
          else {
            const batch = location(each.partition, 1, each.slot * 4, 1 + (each.slot % 4));
            if (stored.has(`${each.partition} ${batch.baseOffset}`)) continue;
            stored.set(`${each.partition} ${batch.baseOffset}`, batch);
            directory.add(batch);
            directory.endCommit({ segmentId: 1, position: 1 });
          }
        }
        const all = [...stored.values()].sort((a, b) => a.baseOffset - b.baseOffset);
        for (const { partition, from, length, limit } of queries) {
          const own = all.filter(({ partitionId }) => partitionId === partition);
          const until = from + length;
          const expected = own
            .filter((batch) => batch.baseOffset < until && batch.baseOffset + batch.recordCount > from)
            .slice(0, limit);
          const [partitionId, epoch] = [partition as PartitionId, 1 as Epoch];
          assert.deepEqual(
            directory.range({ partitionId, epoch, from: from as Offset, until: until as Offset, limit }),
            length === 0 ? [] : expected,
          );
          const holder = own.find((batch) => batch.baseOffset <= from && from < batch.baseOffset + batch.recordCount);
          assert.deepEqual(directory.find(partitionId, epoch, from as Offset), holder);
          const last = own.at(-1);
          assert.equal(
            directory.endOf(partitionId, epoch),
            last === undefined ? 0 : last.baseOffset + last.recordCount,
          );
        }
        await directory.close();
      },
    ),
    { numRuns: 200 },
  );
});

test('a full transaction is written without waiting for the interval', async () => {
  const index = new MemoryIndex();
  const directory = directoryOn(index);
  for (let base = 0; base < LIMITS.indexTransactionBatches; base++) directory.add(location(1, 1, base, 1));
  directory.endCommit({ segmentId: 1, position: 1_000 });
  await settle();
  assert.equal(index.count(), LIMITS.indexTransactionBatches);
  assert.deepEqual(index.readCheckpoint(), { segmentId: 1, position: 1_000 });
});

test('the checkpoint never covers a commit whose batches are not in the same transaction or an earlier one', async () => {
  const index = new MemoryIndex();
  const directory = directoryOn(index);
  for (let commit = 1; commit <= 50; commit++) {
    for (let base = 0; base < 100; base++) directory.add(location(1, 1, commit * 100 + base, 1));
    directory.endCommit({ segmentId: 1, position: commit });
    if (commit % 7 === 0) void directory.flush();
    if (commit % 3 === 0) await settle(1);
    const checkpoint = index.readCheckpoint();
    if (checkpoint !== undefined) assert.ok(index.count() >= checkpoint.position * 100);
  }
});

test('an index that cannot be written for another reason than space stops the process', async () => {
  const index = new MemoryIndex();
  const fatal: unknown[] = [];
  const directory = directoryOn(index, (reason) => fatal.push(reason));
  index.commit = () => Promise.reject(new Error('damaged'));
  directory.add(location(1, 1, 0, 1));
  directory.endCommit({ segmentId: 1, position: 1 });
  await directory.flush();
  assert.equal(fatal.length, 1);
});

test('an index that cannot be read is distrusted and stops the process', () => {
  const index = new MemoryIndex();
  const fatal: unknown[] = [];
  const directory = directoryOn(index, (reason) => fatal.push(reason));
  index.find = () => {
    throw new Error('damaged');
  };
  assert.throws(() => directory.find(1 as PartitionId, 1 as Epoch, 0 as Offset));
  assert.equal(fatal.length, 1);
  assert.ok(index.distrusted);
});

test('recent batches are found by their place until newer ones push them out', () => {
  const recent = new RecentBatches(100);
  const buffer = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
  recent.add(1, 64, buffer(40, 1));
  recent.add(1, 104, buffer(40, 2));
  recent.add(2, 64, buffer(20, 3));
  assert.deepEqual(recent.find(1, 70, 10), buffer(10, 1));
  assert.deepEqual(recent.find(1, 104, 40), buffer(40, 2));
  assert.equal(recent.find(1, 100, 10), undefined, 'across two buffers');
  assert.equal(recent.find(2, 80, 10), undefined, 'past the end');
  assert.equal(recent.find(1, 10, 10), undefined, 'before everything');
  recent.add(2, 84, buffer(30, 4));
  assert.equal(recent.find(1, 70, 10), undefined, 'pushed out');
  assert.deepEqual(recent.find(2, 84, 30), buffer(30, 4));
});

test('a fifo gives back in order what was put in', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 6_000 }), (steps) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      for (const [index, push] of steps.entries()) {
        if (push) {
          fifo.push(index);
          model.push(index);
        } else assert.equal(fifo.shift(), model.shift());
      }
      assert.equal(fifo.length, model.length);
      assert.deepEqual(
        Array.from({ length: fifo.length }, (_, index) => fifo.at(index)),
        model,
      );
    }),
    { numRuns: 50 },
  );
});

test('a turnstile lets its limit in, keeps the order, and tells when it is idle', async () => {
  const turnstile = new Turnstile(2);
  const entered: number[] = [];
  const leave: (() => void)[] = [];
  const passes = [0, 1, 2, 3].map((index) =>
    turnstile.pass(async () => {
      entered.push(index);
      await new Promise<void>((resolve) => leave.push(resolve));
    }),
  );
  await settle(2);
  assert.deepEqual(entered, [0, 1]);
  assert.equal(turnstile.waiting, 2);
  let idle = false;
  const idled = turnstile.idle().then(() => {
    idle = true;
  });
  for (let round = 0; round < 4; round++) {
    assert.equal(idle, false);
    leave.shift()?.();
    await settle(2);
  }
  await Promise.all([...passes, idled]);
  assert.deepEqual(entered, [0, 1, 2, 3]);
});
