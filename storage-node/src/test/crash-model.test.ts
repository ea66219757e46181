/**
 * The promise itself, against crashes of every kind in any order: what was acknowledged is there, sound, once, and was
 * never called corrupt, whether processes are killed, syncs fail, the power is cut, or the index is lost in between.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { batch } from './support/frames.ts';
import { settle } from './support/loose-clock.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { MemoryIndex } from './support/memory-index.ts';
import { TestStore } from './support/test-store.ts';

const SECTOR_BYTES = 512;
const LIMITS_OF_STORE = { segmentBytes: 8_000, commitBytesMax: 3_000 };

const stores = fc.record({
  kind: fc.constant('store' as const),
  count: fc.integer({ min: 1, max: 6 }),
  bodyBytes: fc.integer({ min: 0, max: 900 }),
  wait: fc.boolean(),
});
const step = fc.oneof(
  { weight: 8, arbitrary: stores },
  { weight: 1, arbitrary: fc.constant({ kind: 'again' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'index' as const }) },
);
const crash = fc.record({
  kind: fc.constantFrom('process' as const, 'power' as const, 'clean' as const),
  /** The syncs before it failed, instead of being under way. */
  failSync: fc.boolean(),
  /** The next start is cut off after so many syncs, in the same way; not at all when there is no number. */
  cutStart: fc.option(fc.nat(2), { nil: undefined }),
  loseIndex: fc.boolean(),
  /** Commits that are in the middle of their sync when it happens. */
  unsynced: fc.integer({ min: 0, max: 5 }),
  /** Which of the unsynced sectors had reached the disk. */
  sectors: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
  /** Whether the file had grown already. */
  grown: fc.boolean(),
});
const lives = fc.array(fc.record({ steps: fc.array(step, { maxLength: 10 }), crash }), { minLength: 1, maxLength: 6 });

/** What a power cut makes of bytes that were written and not synced: sectors of them, zeros, or less. */
function tearWith({
  sectors,
  grown,
}: {
  sectors: readonly boolean[];
  grown: boolean;
}): (unsynced: Uint8Array) => Uint8Array {
  return (unsynced) => {
    let end = 0;
    for (let sector = 0; sector * SECTOR_BYTES < unsynced.byteLength; sector++) {
      const from = sector * SECTOR_BYTES;
      const until = Math.min(unsynced.byteLength, from + SECTOR_BYTES);
      if (sectors[sector % sectors.length] === true) end = until;
      else unsynced.fill(0, from, until);
    }
    return grown ? unsynced : unsynced.subarray(0, end);
  };
}

test('everything acknowledged survives every sequence of crashes', async () => {
  await fc.assert(
    fc.asyncProperty(lives, async (sequence) => {
      let disk = new MemoryDisk();
      let index = new MemoryIndex();
      let next = 0;
      const acked = new Set<number>();
      for (const life of sequence) {
        const store = await TestStore.open({ disk, index, limits: LIMITS_OF_STORE });
        await assertKept(store, acked);
        const note = (): void => {
          for (const ack of store.transport.acks) if (ack.verdict === 'stored') acked.add(ack.baseOffset);
        };
        for (const each of life.steps) {
          if (each.kind === 'store') {
            for (let count = 0; count < each.count; count++)
              store.receive(batch({ baseOffset: next++, bodyBytes: each.bodyBytes }));
            if (each.wait) await store.store.writer.flush();
          } else if (each.kind === 'again' && acked.size > 0)
            store.receive(batch({ baseOffset: [...acked][0] ?? 0, bodyBytes: 7 }));
          else await store.store.directory.flush();
          note();
        }
        const { kind, unsynced, failSync, cutStart, loseIndex } = life.crash;
        if (kind === 'clean') {
          await store.store.close();
          note();
        } else {
          await store.store.writer.flush();
          await settle(2);
          note();
          if (failSync) disk.failSync = true;
          else disk.hold();
          for (let count = 0; count < unsynced; count++) store.receive(batch({ baseOffset: next++, bodyBytes: 300 }));
          await settle(3);
          note();
        }
        // A crashed process does nothing more: its syncs are held for ever.
        const crashed = (): MemoryDisk => disk.afterCrash(kind === 'power' ? 'power' : 'process', tearWith(life.crash));
        disk = crashed();
        if (loseIndex) index = new MemoryIndex();
        if (cutStart === undefined) continue;
        disk.hold(cutStart);
        void TestStore.open({ disk, index, limits: LIMITS_OF_STORE });
        await settle(5);
        disk = crashed();
      }
      const last = await TestStore.open({ disk, index });
      await assertKept(last, acked);
      // A power cut right after a start: what the start found is durable by now, whatever it looked like before.
      const again = await TestStore.open({ disk: disk.afterCrash('power'), index });
      await assertKept(again, acked);
    }),
    { numRuns: 400 },
  );
});

async function assertKept(store: TestStore, acked: ReadonlySet<number>): Promise<void> {
  const offsets = await store.soundOffsets();
  assert.equal(new Set(offsets).size, offsets.length);
  const there = new Set(offsets);
  assert.deepEqual(
    [...acked].filter((offset) => !there.has(offset)),
    [],
  );
  assert.equal(store.counters.quarantinedBytes, 0);
}
