/** Whatever is sent to the subjects of stores: nothing stops the node, nothing damaged is stored or acknowledged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nativeCrc32 } from '@pyralog/shared/node';
import fc from 'fast-check';
import { batch } from './support/frames.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { TestStore } from './support/test-store.ts';

test('random bytes are dropped and counted', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (payload) => store.receive(payload)),
    { numRuns: 1_000 },
  );
  await store.save();
  assert.equal(store.counters.malformedFrames, 1_000);
  assert.equal(disk.usedBytes, 0);
  assert.deepEqual(store.transport.acks, []);
});

test('a frame that is cut short anywhere, or has bytes behind it, is dropped', async () => {
  const store = await TestStore.open();
  const frame = batch();
  for (let length = 0; length < frame.byteLength; length++) store.receive(frame.subarray(0, length));
  store.receive(Uint8Array.from([...frame, 0]));
  await store.save();
  assert.equal(store.counters.malformedFrames, frame.byteLength + 1);
  assert.deepEqual(store.offsets(), []);
});

test('a frame with any bit flipped is dropped', async () => {
  const store = await TestStore.open();
  const frame = batch();
  for (let bit = 0; bit < frame.byteLength * 8; bit++) {
    const flipped = frame.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    store.receive(flipped);
  }
  await store.save();
  assert.equal(store.counters.malformedFrames, frame.byteLength * 8);
});

test('frames that are not batches, and batches of no epoch, are dropped', async () => {
  const store = await TestStore.open();
  const commit = batch();
  commit[57] = 2;
  store.receive(repaired(commit));
  store.receive(batch({ epoch: 0 }));
  await store.save();
  assert.equal(store.counters.malformedFrames, 2);
});

test('a frame that was changed and given sound checksums again is stored as it is or dropped, and never stops the node', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  const change = fc.record({ at: fc.nat(135), value: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const frame = batch();
      for (const { at, value } of changes) frame[at] = value;
      store.receive(repaired(frame));
    }),
    { numRuns: 2_000 },
  );
  await store.store.writer.flush();
  assert.deepEqual(store.fatal, []);
  // What was stored is found again by a start that has nothing but the segments.
  const { storedBatches } = store.counters;
  assert.ok(storedBatches > 0);
  const next = await TestStore.open({ disk: disk.afterCrash() });
  assert.equal(next.store.directory.count, storedBatches);
  assert.equal(next.counters.quarantinedBytes, 0);
});

test('a segment that was changed anywhere and given sound frame checksums never stops a start', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  for (const base of [0, 2, 4]) await store.save(batch({ baseOffset: base }), batch({ baseOffset: base + 1 }));
  const content = disk.content(1);
  const change = fc.record({ at: fc.nat(content.byteLength - 1), value: fc.integer({ min: 0, max: 255 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), async (changes, repair) => {
      const damaged = content.slice();
      for (const { at, value } of changes) damaged[at] = value;
      if (repair) repairAll(damaged);
      const next = disk.afterCrash();
      next.setContent(1, damaged);
      const replayed = await TestStore.open({ disk: next });
      await replayed.soundOffsets();
      assert.deepEqual(replayed.fatal, []);
    }),
    { numRuns: 500 },
  );
});

/** Sound checksums for a frame whose bytes were changed. */
function repaired(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  view.setUint32(52, nativeCrc32(frame.subarray(56)), true);
  view.setUint32(4, nativeCrc32(frame.subarray(8, 96)), true);
  return frame;
}

/** The same for every frame of a segment, at the places where the undamaged segment has them. */
function repairAll(content: Uint8Array): void {
  for (let position = 64, frame = 0; position < content.byteLength; frame++) {
    const length = frame % 3 === 0 ? 96 : 136;
    repaired(content.subarray(position, position + length));
    position += length;
  }
}
