/** The writer and what stands before it: order, fencing, durability, failing and full disks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Epoch, LIMITS, type Offset, type PartitionId } from '@pyralog/shared/core';
import { batch } from './support/frames.ts';
import { looseClock, settle } from './support/loose-clock.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { MemoryIndex } from './support/memory-index.ts';
import { TestStore } from './support/test-store.ts';

test('a batch is acknowledged once it is synced, and not before', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch());
  disk.hold();
  store.receive(batch({ baseOffset: 1 }));
  await settle();
  assert.equal(disk.waitingSyncs, 1);
  assert.deepEqual(store.transport.verdicts, ['1:0=stored']);
  disk.release();
  await settle();
  assert.deepEqual(store.transport.verdicts, ['1:0=stored', '1:1=stored']);
});

test('whatever arrives during a sync is one commit and one message per sequencer', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch());
  disk.hold();
  store.receive(batch({ baseOffset: 1 }));
  await settle();
  for (let base = 2; base < 50; base++) store.receive(batch({ baseOffset: base, partitionId: 1 + (base % 3) }));
  const { syncs } = disk;
  const messages = store.transport.published.length;
  disk.release();
  await settle();
  assert.equal(disk.syncs, syncs + 1);
  assert.equal(store.transport.published.length, messages + 2);
  assert.equal(store.transport.verdicts.length, 50);
});

test('acknowledgements go to the subject that the store names, and only to subjects of acknowledgements', async () => {
  const store = await TestStore.open();
  store.receive(batch(), 'pyra.test.ack.s7');
  store.receive(batch({ baseOffset: 1 }), 'pyra.test.store.ns.1.n1');
  store.receive(batch({ baseOffset: 2 }), '');
  await store.store.writer.flush();
  assert.deepEqual(
    store.transport.published.map(({ subject }) => subject),
    ['pyra.test.ack.s7'],
  );
  assert.deepEqual(store.offsets(), [0, 1, 2]);
});

test('a batch that is stored is acknowledged again and not written again', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch(), batch({ baseOffset: 1 }));
  const { usedBytes } = disk;
  store.receive(batch({ releasedOffset: 1 }));
  await settle();
  assert.deepEqual(store.transport.verdicts, ['1:0=stored', '1:1=stored', '1:0=stored']);
  assert.equal(disk.usedBytes, usedBytes);
  assert.equal(store.counters.duplicateBatches, 1);
});

test('a batch that waits for its commit is written once', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  store.receive(batch());
  store.receive(batch());
  await store.store.writer.flush();
  store.receive(batch());
  await settle();
  assert.deepEqual(store.transport.verdicts, ['1:0=stored', '1:0=stored']);
  assert.deepEqual(store.offsets(), [0]);
});

test('a duplicate is recognized after a restart, with and without the index', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const store = await TestStore.open({ disk, index });
  await store.save(batch(), batch({ baseOffset: 1 }));
  await store.store.directory.flush();
  for (const options of [{ disk: disk.afterCrash(), index }, { disk: disk.afterCrash() }]) {
    const next = await TestStore.open(options);
    await next.save(batch(), batch({ baseOffset: 1 }), batch({ baseOffset: 2 }));
    assert.deepEqual(next.transport.verdicts.sort(), ['1:0=stored', '1:1=stored', '1:2=stored']);
    assert.equal(next.counters.duplicateBatches, 2);
    assert.deepEqual(await next.soundOffsets(), [0, 1, 2]);
  }
});

test('a batch that arrives late is stored in its place', async () => {
  const store = await TestStore.open();
  await store.save(batch({ baseOffset: 4 }), batch({ baseOffset: 8 }));
  await store.save(batch({ baseOffset: 0 }), batch({ baseOffset: 6 }));
  assert.deepEqual(await store.soundOffsets(), [0, 4, 6, 8]);
});

test('a different batch over stored offsets is neither stored nor acknowledged', async () => {
  const store = await TestStore.open();
  await store.save(batch({ baseOffset: 10, recordCount: 5 }));
  for (const [baseOffset, recordCount] of [
    [10, 4],
    [12, 1],
    [8, 3],
  ] as const)
    store.receive(batch({ baseOffset, recordCount }));
  await store.store.writer.flush();
  await settle();
  assert.deepEqual(store.transport.verdicts, ['1:10=stored']);
  assert.equal(store.counters.conflictingBatches, 3);
});

test('an older epoch is fenced, and told which epoch the node has seen', async () => {
  const store = await TestStore.open();
  await store.save(batch({ epoch: 5 }));
  await store.save(batch({ epoch: 4, baseOffset: 1 }));
  const ack = store.transport.acks.at(-1);
  assert.equal(ack?.verdict, 'fenced');
  assert.equal(ack?.sealedEpoch, 5);
  assert.equal(ack?.epoch, 4);
});

test('the first store of an epoch binds its nonce: another one is fenced', async () => {
  const store = await TestStore.open();
  await store.save(batch({ nonce: 1n }));
  await store.save(batch({ nonce: 2n, baseOffset: 1 }));
  assert.deepEqual(store.transport.verdicts, ['1:0=stored', '1:1=fenced']);
  assert.deepEqual(store.offsets(), [0]);
});

test('fences hold after a restart', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch({ epoch: 5, nonce: 1n }));
  const next = await TestStore.open({ disk: disk.afterCrash() });
  await next.save(
    batch({ epoch: 4 }),
    batch({ epoch: 5, nonce: 2n, baseOffset: 1 }),
    batch({ epoch: 5, nonce: 1n, baseOffset: 2 }),
  );
  assert.deepEqual(next.transport.verdicts, ['1:0=fenced', '1:1=fenced', '1:2=stored']);
});

test('a batch whose epoch is fenced while it waits is refused by the writer', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch({ partitionId: 2 }));
  disk.hold();
  store.receive(batch({ partitionId: 2, baseOffset: 1 }));
  await settle();
  store.receive(batch({ epoch: 5 }));
  store.receive(batch({ epoch: 6, nonce: 12n }));
  disk.release();
  await settle();
  const verdicts = store.transport.acks.map((ack) => `${ack.partitionId}:e${ack.epoch}=${ack.verdict}`);
  assert.deepEqual(verdicts.slice(2).sort(), ['1:e5=fenced', '1:e6=stored']);
  assert.deepEqual(store.offsets(1, 5), []);
  assert.deepEqual(store.offsets(1, 6), [0]);
});

test('a batch that was written before its epoch was fenced stays stored', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch({ partitionId: 2 }));
  disk.hold();
  store.receive(batch({ epoch: 5 }));
  await settle();
  store.receive(batch({ epoch: 6, nonce: 12n }));
  disk.release();
  await settle();
  assert.deepEqual(store.offsets(1, 5), [0]);
  assert.equal(store.transport.acks.filter(({ verdict }) => verdict === 'stored').length, 3);
});

test('a memory batch is acknowledged at once and on disk within the flush interval', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { flushIntervalMs: 400 } });
  const began = performance.now();
  store.receive(batch({ durability: 'memory' }));
  await settle(3);
  assert.deepEqual(store.transport.verdicts, ['1:0=stored']);
  assert.equal(disk.usedBytes, 0);
  while (store.offsets().length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(performance.now() - began < 5_000);
  }
  assert.ok(performance.now() - began >= 399);
  assert.equal(store.transport.verdicts.length, 1);
});

test('a memory batch is written with the next batch that must be', async () => {
  const store = await TestStore.open({ limits: { flushIntervalMs: 1_000_000 } });
  store.receive(batch({ durability: 'memory' }));
  store.receive(batch({ baseOffset: 1 }));
  await settle();
  assert.deepEqual(await store.soundOffsets(), [0, 1]);
});

test('a memory batch that was acknowledged is written although its epoch was fenced since', async () => {
  const store = await TestStore.open({ limits: { flushIntervalMs: 1_000_000 } });
  store.receive(batch({ epoch: 5, durability: 'memory' }));
  store.receive(batch({ epoch: 6, nonce: 12n }));
  await settle();
  assert.deepEqual(store.offsets(1, 5), [0]);
  assert.deepEqual(store.offsets(1, 6), [0]);
});

test('with a commit delay, batches are gathered for that long', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { commitDelayMs: 30 } });
  const began = performance.now();
  store.receive(batch());
  await settle(5);
  store.receive(batch({ baseOffset: 1 }));
  while (store.transport.verdicts.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(performance.now() - began < 5_000);
  }
  assert.ok(performance.now() - began >= 29);
  assert.equal(store.counters.commits, 1);
});

test('a full commit does not wait for the commit delay', async () => {
  const store = await TestStore.open({ limits: { commitDelayMs: 1_000_000, commitBytesMax: 300 } });
  for (let base = 0; base < 3; base++) store.receive(batch({ baseOffset: base }));
  await settle();
  assert.ok(store.transport.verdicts.length >= 2);
});

test('a commit holds at most commitBytesMax, and a larger frame alone', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { commitBytesMax: 300 } });
  for (let base = 0; base < 6; base++) store.receive(batch({ baseOffset: base, bodyBytes: base === 5 ? 2_000 : 40 }));
  await store.store.writer.flush();
  assert.equal(store.counters.commits, 4);
  assert.deepEqual(await store.soundOffsets(), [0, 1, 2, 3, 4, 5]);
});

test('segments are rolled at their size, and what they hold stays readable', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { segmentBytes: 1_000, commitBytesMax: 500 } });
  for (let base = 0; base < 40; base++) await store.save(batch({ baseOffset: base, bodyBytes: 40 + base }));
  assert.ok(disk.files.size > 5);
  for (const { size } of disk.files.values()) assert.ok(size <= 1_000);
  assert.equal((await store.soundOffsets()).length, 40);
  assert.equal(store.store.segmentCount, disk.files.size);
});

test('a failed sync is never acknowledged, and stops the writer for good', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch());
  disk.failSync = true;
  store.receive(batch({ baseOffset: 1 }));
  await settle();
  assert.equal(store.fatal.length, 1);
  disk.failSync = false;
  store.receive(batch({ baseOffset: 2 }));
  store.receive(batch({ baseOffset: 1 }));
  await settle();
  await store.store.writer.flush();
  assert.deepEqual(store.transport.verdicts, ['1:0=stored']);
  assert.deepEqual(store.offsets(), [0]);
});

test('a failed write is never acknowledged, and stops the writer for good', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch());
  disk.failAppend = true;
  store.receive(batch({ baseOffset: 1 }));
  await settle();
  disk.failAppend = false;
  store.receive(batch({ baseOffset: 2 }));
  await settle();
  assert.equal(store.fatal.length, 1);
  assert.deepEqual(store.transport.verdicts, ['1:0=stored']);
});

test('a full disk refuses whole commits, keeps serving, and recovers when space returns', async () => {
  const disk = new MemoryDisk();
  disk.reportedFreeBytes = 1 << 30;
  const store = await TestStore.open({ disk });
  await store.save(batch());
  const before = disk.content(1);
  // Room for the mark and the first of two frames: neither may be acknowledged.
  disk.capacityBytes = disk.usedBytes + 250;
  await store.save(batch({ baseOffset: 1 }), batch({ baseOffset: 2 }));
  assert.deepEqual(store.transport.verdicts.slice(1), ['1:1=read-only', '1:2=read-only']);
  assert.deepEqual(disk.content(1), before);
  assert.equal(store.store.space.state, 'read-only');
  store.receive(batch({ baseOffset: 3 }));
  await settle();
  assert.equal(store.transport.verdicts.at(-1), '1:3=read-only');
  assert.deepEqual(await store.soundOffsets(), [0]);
  assert.deepEqual(store.fatal, []);
  disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  const deadline = performance.now() + 5_000;
  while (store.store.space.state === 'read-only') {
    assert.ok(performance.now() < deadline);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await store.save(batch({ baseOffset: 1 }));
  assert.equal(store.transport.verdicts.at(-1), '1:1=stored');
  assert.deepEqual(await store.soundOffsets(), [0, 1]);
});

test('a memory batch that was acknowledged outlives a full disk', async () => {
  const disk = new MemoryDisk();
  disk.reportedFreeBytes = 1 << 30;
  const store = await TestStore.open({ disk, limits: { flushIntervalMs: 1 } });
  await store.save(batch());
  disk.capacityBytes = disk.usedBytes + 10;
  await store.save(batch({ baseOffset: 1, durability: 'memory' }), batch({ baseOffset: 2 }));
  assert.equal(store.store.space.state, 'read-only');
  disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  store.store.writer.resume();
  await settle();
  assert.deepEqual(await store.soundOffsets(), [0, 1]);
});

test('below the reserve the store is read-only before the disk is full, and recovers only well above it', async () => {
  const disk = new MemoryDisk();
  disk.reportedFreeBytes = 500_000;
  const store = await TestStore.open({ disk, limits: { commitBytesMax: 300_000 } });
  assert.equal(store.store.space.state, 'read-only');
  await store.save(batch());
  assert.deepEqual(store.transport.verdicts, ['1:0=read-only']);
  disk.reportedFreeBytes = 700_000;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(store.store.space.state, 'read-only');
  disk.reportedFreeBytes = 1_300_000;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(store.store.space.state, 'serving');
});

test('a restart on a full disk serves what is proven and copies the rest forward when space returns', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch());
  await store.save(batch({ baseOffset: 1 }));
  const full = disk.afterCrash();
  full.reportedFreeBytes = 1 << 30;
  full.capacityBytes = full.usedBytes;
  const next = await TestStore.open({ disk: full });
  assert.deepEqual(await next.soundOffsets(), [0]);
  assert.equal(next.store.space.state, 'read-only');
  full.capacityBytes = Number.MAX_SAFE_INTEGER;
  next.store.space.state = 'serving';
  next.store.writer.resume();
  // Sent again before its copy is written: it waits for the copy.
  next.receive(batch({ baseOffset: 1 }));
  await settle();
  assert.deepEqual(await next.soundOffsets(), [0, 1]);
  next.receive(batch({ baseOffset: 1 }));
  await settle();
  assert.deepEqual(next.transport.verdicts, ['1:1=stored']);
  assert.equal(next.counters.duplicateBatches, 2);
});

test('beyond the bound of the queue batches are dropped and counted', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { commitBytesMax: 1 << 24, segmentBytes: 1 << 30 } });
  await store.save(batch());
  disk.hold();
  const bodyBytes = LIMITS.frameBytesMax - 96;
  const frame = batch({ baseOffset: 1, bodyBytes });
  const room = Math.floor(LIMITS.storeQueueBytesMax / (LIMITS.frameBytesMax + 512));
  for (let partitionId = 2; partitionId < 2 + room + 3; partitionId++) {
    store.receive(partitionId === 2 ? frame : batch({ partitionId, bodyBytes }));
  }
  assert.equal(store.counters.overflowedBatches, 3);
  assert.ok(store.store.writer.queuedBytes <= LIMITS.storeQueueBytesMax);
  disk.release();
  await store.store.writer.flush();
  assert.equal(store.transport.acks.length, 1 + room);
});

test('small frames count for what they cost in memory', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  disk.hold();
  for (let base = 0; base < 100; base++) store.receive(batch({ baseOffset: base, bodyBytes: 0 }));
  assert.ok(store.store.writer.queuedBytes >= 100 * 500);
  disk.release();
});

test('while the index cannot be written, batches are found in memory, and commits wait at the bound', async () => {
  const index = new MemoryIndex();
  index.full = true;
  const store = await TestStore.open({ index, checkpointIntervalMs: 1 });
  const total = LIMITS.indexPendingBatchesMax + 5_000;
  for (let base = 0; base < total; base++) store.receive(batch({ baseOffset: base, bodyBytes: 0 }));
  await settle(200);
  const stored = store.transport.acks.length;
  assert.ok(stored >= LIMITS.indexPendingBatchesMax && stored < total, `${stored}`);
  const found = store.store.directory.find(1 as PartitionId, 1 as Epoch, 10 as Offset);
  assert.equal(found?.baseOffset, 10);
  index.full = false;
  await store.store.writer.flush();
  assert.equal(store.transport.acks.length, total);
});

test('a stop commits what is queued and refuses what comes after', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const store = await TestStore.open({ disk, index, clock: looseClock });
  store.receive(batch());
  store.receive(batch({ baseOffset: 1, durability: 'memory' }));
  await store.store.close();
  assert.equal(index.count(), 2);
  store.receive(batch({ baseOffset: 2 }));
  await settle();
  assert.equal(store.transport.verdicts.includes('1:2=stored'), false);
});
