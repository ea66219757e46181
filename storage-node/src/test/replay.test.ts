/** What a start makes of the segments that a crash left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFrame, PyralogError } from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import { COMMIT_MARK_BYTES } from '../core/commit-mark.ts';
import { SEGMENT_HEADER_BYTES } from '../core/segment-header.ts';
import { batch } from './support/frames.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { MemoryIndex } from './support/memory-index.ts';
import { TestStore } from './support/test-store.ts';

/** Frames of 96 + 40 bytes. */
const FRAME_BYTES = 136;

/** A disk with one segment of three commits: offsets 0 and 1, then 2 and 3, then 4 and 5. Nothing was checkpointed. */
async function threeCommits(): Promise<{ disk: MemoryDisk; lastCommit: number; secondCommit: number }> {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  for (const base of [0, 2, 4]) await store.save(batch({ baseOffset: base }), batch({ baseOffset: base + 1 }));
  const commitBytes = COMMIT_MARK_BYTES + 2 * FRAME_BYTES;
  return { disk, secondCommit: SEGMENT_HEADER_BYTES + commitBytes, lastCommit: SEGMENT_HEADER_BYTES + 2 * commitBytes };
}

function edited(disk: MemoryDisk, edit: (content: Uint8Array) => Uint8Array): MemoryDisk {
  const next = disk.afterCrash();
  next.setContent(1, edit(next.content(1)));
  return next;
}

function flipped(content: Uint8Array, position: number): Uint8Array {
  content[position] = (content[position] ?? 0) ^ 0x10;
  return content;
}

test('a tail cut at any byte of the last commit loses only the frames that the cut touches', async () => {
  const { disk, secondCommit, lastCommit } = await threeCommits();
  const { byteLength: end } = disk.content(1);
  for (let size = lastCommit; size <= end; size++) {
    const cut = edited(disk, (content) => content.subarray(0, size));
    const store = await TestStore.open({ disk: cut });
    const whole = Math.max(0, Math.floor((size - lastCommit - COMMIT_MARK_BYTES) / FRAME_BYTES));
    assert.deepEqual(await store.soundOffsets(), [0, 1, 2, 3, 4, 5].slice(0, 4 + whole), `cut at ${size}`);
    assert.equal(store.counters.quarantinedBytes, 0);
    // Without the last commit's mark the commit before it is not proven either, and moves too.
    const proven = size < lastCommit + COMMIT_MARK_BYTES ? secondCommit : lastCommit;
    assert.equal(cut.content(1).byteLength, proven, 'what is not proven is gone from the old segment');
  }
});

test('a tail of zeros, as after a power cut, is cut', async () => {
  const { disk, secondCommit, lastCommit } = await threeCommits();
  const zeros = edited(disk, (content) => {
    content.fill(0, lastCommit);
    return content;
  });
  const store = await TestStore.open({ disk: zeros });
  assert.deepEqual(await store.soundOffsets(), [0, 1, 2, 3]);
  assert.equal(store.counters.quarantinedBytes, 0);
  assert.equal(zeros.content(1).byteLength, secondCommit);
});

test('a bit flipped anywhere in the last commit is a torn write: at most the frames from there on are cut', async () => {
  const { disk, lastCommit } = await threeCommits();
  const { byteLength: end } = disk.content(1);
  for (let position = lastCommit; position < end; position++) {
    const store = await TestStore.open({ disk: edited(disk, (content) => flipped(content, position)) });
    const offsets = await store.soundOffsets();
    assert.deepEqual(offsets.slice(0, 4), [0, 1, 2, 3], `flip at ${position}`);
    const hit = Math.floor((position - lastCommit - COMMIT_MARK_BYTES) / FRAME_BYTES);
    if (hit >= 0) assert.ok(!offsets.includes(4 + hit), `flip at ${position}`);
    if (hit === 1) assert.ok(offsets.includes(4), `flip at ${position}`);
    assert.equal(store.counters.quarantinedBytes, 0);
  }
});

test('a bit flipped anywhere in synced data is corruption: the range is left out and nothing behind it is lost', async () => {
  const { disk, secondCommit, lastCommit } = await threeCommits();
  for (let position = SEGMENT_HEADER_BYTES; position < lastCommit; position++) {
    const broken = edited(disk, (content) => flipped(content, position));
    const store = await TestStore.open({ disk: broken });
    const offsets = await store.soundOffsets();
    assert.ok(offsets.includes(4) && offsets.includes(5), `flip at ${position}`);
    const untouched = position < secondCommit ? [2, 3] : [0, 1];
    for (const offset of untouched) assert.ok(offsets.includes(offset), `flip at ${position}`);
    assert.ok(store.counters.quarantinedBytes > 0, `flip at ${position}`);
    assert.ok(store.log.some(({ level }) => level === 'error'));
    assert.equal(broken.content(1).byteLength, lastCommit, 'synced data is never cut');
  }
});

test('damage to a body leaves out that frame alone', async () => {
  const { disk, secondCommit } = await threeCommits();
  const body = secondCommit + COMMIT_MARK_BYTES + 100;
  const store = await TestStore.open({ disk: edited(disk, (content) => flipped(content, body)) });
  assert.deepEqual(await store.soundOffsets(), [0, 1, 3, 4, 5]);
  assert.equal(store.counters.quarantinedBytes, FRAME_BYTES);
});

test('a damaged segment header does not lose the segment', async () => {
  const { disk } = await threeCommits();
  for (let position = 0; position < SEGMENT_HEADER_BYTES; position++) {
    const store = await TestStore.open({ disk: edited(disk, (content) => flipped(content, position)) });
    assert.deepEqual(await store.soundOffsets(), [0, 1, 2, 3, 4, 5], `flip at ${position}`);
  }
});

test('damage in an earlier segment is corruption, also in its last commit', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { segmentBytes: 600 } });
  for (const base of [0, 1, 2, 3, 4, 5]) await store.save(batch({ baseOffset: base }));
  assert.ok(disk.files.size > 1);
  const next = disk.afterCrash();
  const content = next.content(1);
  next.setContent(1, flipped(content, content.byteLength - 1));
  const replayed = await TestStore.open({ disk: next });
  assert.equal(replayed.counters.quarantinedBytes, FRAME_BYTES);
  assert.equal(next.content(1).byteLength, content.byteLength);
  assert.equal((await replayed.soundOffsets()).length, 5);
});

test('an earlier segment that lost its end is corruption', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { segmentBytes: 600 } });
  for (const base of [0, 1, 2, 3, 4, 5]) await store.save(batch({ baseOffset: base }));
  const next = disk.afterCrash();
  const content = next.content(1);
  next.setContent(1, content.subarray(0, content.byteLength - FRAME_BYTES));
  const replayed = await TestStore.open({ disk: next });
  assert.equal(replayed.counters.quarantinedBytes, FRAME_BYTES);
  assert.equal((await replayed.soundOffsets()).length, 5);
});

test('the tail that is not proven durable is copied forward before the store opens', async () => {
  const { disk, lastCommit } = await threeCommits();
  const next = disk.afterCrash();
  const store = await TestStore.open({ disk: next });
  assert.deepEqual(await store.soundOffsets(), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([...next.files.keys()], [1, 2]);
  assert.equal(next.content(1).byteLength, lastCommit);
  assert.equal(next.files.get(2)?.syncedBytes, SEGMENT_HEADER_BYTES + COMMIT_MARK_BYTES + 2 * FRAME_BYTES);
});

test('copying forward survives a crash after every step, any number of times', async () => {
  const { disk } = await threeCommits();
  let states = [disk.afterCrash()];
  for (let round = 0; round < 3; round++) {
    const left: MemoryDisk[] = [];
    for (const state of states) {
      const before = state.afterCrash();
      const store = await TestStore.open({ disk: state });
      assert.deepEqual(await store.soundOffsets(), [0, 1, 2, 3, 4, 5]);
      left.push(...interrupted(before, state));
    }
    states = left.slice(0, 40);
  }
});

/** What a crash leaves in the middle of copying forward: the new segment in part, the old one not yet cut. */
function interrupted(before: MemoryDisk, after: MemoryDisk): MemoryDisk[] {
  const created = [...after.files.keys()].filter((segmentId) => !before.files.has(segmentId));
  return created.flatMap((segmentId) => {
    const content = after.content(segmentId);
    return [
      0,
      10,
      SEGMENT_HEADER_BYTES,
      SEGMENT_HEADER_BYTES + 50,
      SEGMENT_HEADER_BYTES + COMMIT_MARK_BYTES + 10,
      content.byteLength,
    ].map((size) => {
      const disk = before.afterCrash();
      disk.setContent(segmentId, content.subarray(0, size));
      return disk;
    });
  });
}

test('a clean stop leaves nothing to copy', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const store = await TestStore.open({ disk, index });
  await store.save(batch(), batch({ baseOffset: 1 }));
  await store.store.close();
  const next = disk.afterCrash();
  const again = await TestStore.open({ disk: next, index });
  assert.deepEqual(await again.soundOffsets(), [0, 1]);
  assert.deepEqual([...next.files.keys()], [1]);
  assert.deepEqual(next.content(1), disk.content(1));
  const withoutIndex = await TestStore.open({ disk: disk.afterCrash() });
  assert.deepEqual(await withoutIndex.soundOffsets(), [0, 1]);
});

test('writing goes on in a new segment after a restart', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const store = await TestStore.open({ disk, index });
  await store.save(batch());
  await store.store.close();
  const before = disk.content(1);
  const again = await TestStore.open({ disk, index });
  await again.save(batch({ baseOffset: 1 }));
  assert.deepEqual(disk.content(1), before);
  assert.deepEqual(await again.soundOffsets(), [0, 1]);
  assert.deepEqual([...disk.files.keys()], [1, 2]);
});

test('replay begins at the checkpoint, and gives the same as without an index', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const store = await TestStore.open({ disk, index, limits: { segmentBytes: 1_000 } });
  for (let base = 0; base < 10; base++) await store.save(batch({ baseOffset: base }));
  await store.store.directory.flush();
  for (let base = 10; base < 15; base++) await store.save(batch({ baseOffset: base }));
  const all = Array.from({ length: 15 }, (_, base) => base);
  const resumed = await TestStore.open({ disk: disk.afterCrash(), index });
  assert.deepEqual(await resumed.soundOffsets(), all);
  const rebuilt = await TestStore.open({ disk: disk.afterCrash() });
  assert.deepEqual(await rebuilt.soundOffsets(), all);
});

test('an index of other segments is replaced', async () => {
  const { disk } = await threeCommits();
  const index = new MemoryIndex();
  await index.commit({ batches: [], partitions: [], checkpoint: { segmentId: 9, position: 100 } });
  let opened = 0;
  await assert.rejects(async () => {
    // The same index again, as if deleting it had failed, so that it is seen to be refused.
    await TestStore.open({ disk: disk.afterCrash(), index });
    opened++;
    assert.ok(index.distrusted);
    throw new Error('seen');
  }, /seen/);
  assert.equal(opened, 1);
});

test('epoch, nonce and released offset are restored from the index and from the segments after it', async () => {
  const disk = new MemoryDisk();
  const index = new MemoryIndex();
  const store = await TestStore.open({ disk, index });
  await store.save(batch({ partitionId: 1, epoch: 3, nonce: 7n, releasedOffset: 5, baseOffset: 6 }));
  await store.store.directory.flush();
  await store.save(batch({ partitionId: 2, epoch: 4, nonce: 8n, releasedOffset: 9, baseOffset: 10 }));
  const next = await TestStore.open({ disk: disk.afterCrash(), index });
  const states = [1, 2].map((partitionId) => next.store.gates.get(partitionId as never)?.state());
  assert.deepEqual(states, [
    { partitionId: 1, epoch: 3, nonce: 7n, releasedOffset: 5 },
    { partitionId: 2, epoch: 4, nonce: 8n, releasedOffset: 9 },
  ]);
});

test('a power cut leaves what was synced', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk });
  await store.save(batch());
  disk.hold();
  store.receive(batch({ baseOffset: 1 }));
  await new Promise((resolve) => setImmediate(resolve));
  const next = await TestStore.open({ disk: disk.afterCrash('power') });
  assert.deepEqual(await next.soundOffsets(), [0]);
  disk.release();
});

test('a segment of another data directory stops the start', async () => {
  const { disk } = await threeCommits();
  await assert.rejects(
    TestStore.open({ disk: disk.afterCrash(), incarnation: 'ffffffffffffffff' as never }),
    (reason) => reason instanceof PyralogError && reason.code === 'invalid' && reason.fields.segmentId === 1,
  );
});

test('a segment of a newer format stops the start', async () => {
  const { disk } = await threeCommits();
  const newer = edited(disk, (content) => {
    content[8] = 2;
    new DataView(content.buffer).setUint32(4, nativeCrc32(content.subarray(8, SEGMENT_HEADER_BYTES)), true);
    return content;
  });
  await assert.rejects(
    TestStore.open({ disk: newer }),
    (reason) => reason instanceof PyralogError && reason.code === 'invalid',
  );
});

test('a record that contains a commit mark and a frame is not mistaken for them', async () => {
  const { disk, secondCommit } = await threeCommits();
  const forged = batch({ partitionId: 99, baseOffset: 0 });
  const mark = disk.content(1).slice(secondCommit, secondCommit + COMMIT_MARK_BYTES);
  const store = await TestStore.open({ disk: new MemoryDisk() });
  const carrier = batch({ baseOffset: 0, bodyBytes: 400 });
  carrier.set(mark, 150);
  carrier.set(forged, 250);
  restamp(carrier);
  const target = new MemoryDisk();
  const writer = await TestStore.open({ disk: target });
  await writer.save(carrier);
  await writer.save(batch({ baseOffset: 1 }));
  await writer.save(batch({ baseOffset: 2 }));
  // The carrier's header is damaged, so that the search for the next mark runs through its body.
  const next = target.afterCrash();
  next.setContent(1, flipped(next.content(1), SEGMENT_HEADER_BYTES + COMMIT_MARK_BYTES + 20));
  const replayed = await TestStore.open({ disk: next });
  assert.deepEqual(await replayed.soundOffsets(), [1, 2]);
  assert.deepEqual(replayed.offsets(99), []);
  await store.store.close();
});

/** Repairs both checksums of a frame that was changed. */
function restamp(frame: Uint8Array): void {
  const view = new DataView(frame.buffer);
  view.setUint32(52, nativeCrc32(frame.subarray(56)), true);
  view.setUint32(4, nativeCrc32(frame.subarray(8, 96)), true);
  checkFrame(frame, nativeCrc32);
}
