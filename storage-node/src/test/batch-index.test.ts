/** What every `BatchIndex` must do: on LMDB, and in memory, where the other tests run; and when the index is rebuilt. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type BatchIndex,
  type BatchLocation,
  type Epoch,
  type Incarnation,
  type IndexCommit,
  type Nonce,
  type Offset,
  type PartitionId,
  PyralogError,
  silentLogger,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { openIndex } from '../index/open-index.ts';
import { MemoryIndex } from './support/memory-index.ts';
import { SmallDisk } from './support/small-disk.ts';
import { INCARNATION } from './support/test-store.ts';

let root = '';
before(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'pyralog-index-'));
});
after(() => rm(root, { recursive: true, force: true }));

const newDirectory = (): Promise<string> => mkdtemp(path.join(root, 'data-'));
const openIn = (dataDirectory: string, incarnation: Incarnation = INCARNATION): Promise<BatchIndex> =>
  openIndex({ dataDirectory, incarnation, logger: silentLogger });

function location(fields: Partial<Record<keyof BatchLocation, number>> = {}): BatchLocation {
  const defaults = {
    partitionId: 1,
    epoch: 1,
    baseOffset: 0,
    recordCount: 1,
    appendTimeMs: 5,
    segmentId: 1,
    position: 64,
    length: 136,
  };
  return { ...defaults, ...fields } as BatchLocation;
}

function commitOf(batches: readonly BatchLocation[], partitions: IndexCommit['partitions'] = []): IndexCommit {
  return { batches, partitions, checkpoint: { segmentId: 1, position: 1_000 } };
}

const P = (value: number): PartitionId => value as PartitionId;
const E = (value: number): Epoch => value as Epoch;
const O = (value: number): Offset => value as Offset;

for (const [name, make] of [
  ['LMDB', async () => openIn(await newDirectory())],
  ['memory', () => Promise.resolve<BatchIndex>(new MemoryIndex())],
] as const) {
  describe(`an index in ${name}`, () => {
    test('is empty when it is new', async () => {
      const index = await make();
      assert.equal(index.count(), 0);
      assert.equal(index.readCheckpoint(), undefined);
      assert.deepEqual([...index.partitions()], []);
      assert.deepEqual(index.segmentIds(), []);
      assert.equal(index.find(P(1), E(1), O(0)), undefined);
      assert.equal(index.last(P(1), E(1)), undefined);
      await index.close();
    });

    test('keeps every field, up to the largest', async () => {
      const index = await make();
      const large = location({
        partitionId: 0xffff_ffff,
        epoch: 0xffff_ffff,
        baseOffset: Number.MAX_SAFE_INTEGER - 10,
        recordCount: 10,
        appendTimeMs: Number.MAX_SAFE_INTEGER,
        segmentId: 0xffff_ffff,
        position: 2 ** 40,
        length: 8 << 20,
      });
      const state = {
        partitionId: P(9),
        epoch: E(3),
        nonce: 0xffff_ffff_ffff_ffffn as Nonce,
        releasedOffset: O(2 ** 50),
      };
      const sealed = { partitionId: P(8), epoch: E(4), nonce: undefined, releasedOffset: O(0) };
      await index.commit({
        batches: [large],
        partitions: [sealed, state],
        checkpoint: { segmentId: 2 ** 33, position: 2 ** 45 },
      });
      assert.deepEqual(index.last(large.partitionId, large.epoch), large);
      assert.deepEqual([...index.partitions()], [sealed, state]);
      assert.deepEqual(index.readCheckpoint(), { segmentId: 2 ** 33, position: 2 ** 45 });
      await index.close();
    });

    test('finds the batch that holds an offset, of the epoch asked for', async () => {
      const index = await make();
      const first = location({ baseOffset: 10, recordCount: 5 });
      const second = location({ baseOffset: 20, recordCount: 5 });
      const other = location({ baseOffset: 10, recordCount: 9, epoch: 2 });
      await index.commit(
        commitOf([second, other, first, location({ partitionId: 2 }), location({ partitionId: 0, baseOffset: 10 })]),
      );
      const found = (offset: number, epoch = 1) => index.find(P(1), E(epoch), O(offset));
      assert.deepEqual(
        [found(9), found(10), found(14), found(15), found(20)],
        [undefined, first, first, undefined, second],
      );
      assert.deepEqual(found(18, 2), other);
      assert.equal(found(10, 3), undefined);
      assert.deepEqual(index.last(P(1), E(1)), second);
      await index.close();
    });

    test('gives the batches that overlap a range, ascending, up to the limit', async () => {
      const index = await make();
      const batches = [0, 10, 20, 30].map((baseOffset) => location({ baseOffset, recordCount: 10 }));
      await index.commit(
        commitOf([...batches, location({ epoch: 2, baseOffset: 40 }), location({ partitionId: 2, baseOffset: 5 })]),
      );
      const range = (from: number, until: number, limit = 100) =>
        index
          .range({ partitionId: P(1), epoch: E(1), from: O(from), until: O(until), limit })
          .map(({ baseOffset }) => baseOffset);
      assert.deepEqual(range(0, 40), [0, 10, 20, 30]);
      assert.deepEqual(range(9, 11), [0, 10]);
      assert.deepEqual(range(10, 10), []);
      assert.deepEqual(range(15, 1_000, 2), [10, 20]);
      assert.deepEqual(range(40, 1_000), []);
      await index.close();
    });

    test('writing a batch again replaces it', async () => {
      const index = await make();
      await index.commit(commitOf([location()]));
      await index.commit(commitOf([location({ position: 999 })]));
      assert.equal(index.count(), 1);
      assert.equal(index.last(P(1), E(1))?.position, 999);
      await index.close();
    });

    test('drops the batches of a segment', async () => {
      const index = await make();
      const batches = Array.from({ length: 100 }, (_, base) =>
        location({ baseOffset: base, segmentId: 1 + (base % 3) }),
      );
      await index.commit(commitOf(batches));
      assert.deepEqual(index.segmentIds(), [1, 2, 3]);
      await index.removeSegment(2);
      assert.deepEqual(index.segmentIds(), [1, 3]);
      assert.equal(index.count(), 67);
      assert.equal(index.find(P(1), E(1), O(1)), undefined);
      await index.close();
    });

    test('agrees with a list of what was committed', async () => {
      const index = await make();
      const places = fc.record({
        partition: fc.integer({ min: 1, max: 3 }),
        epoch: fc.integer({ min: 1, max: 2 }),
        slot: fc.nat(60),
      });
      const written = new Map<string, BatchLocation>();
      await fc.assert(
        fc.asyncProperty(
          fc.array(places, { minLength: 1, maxLength: 20 }),
          fc.nat(240),
          fc.nat(60),
          async (chosen, from, length) => {
            const batches = chosen.map(({ partition, epoch, slot }) =>
              location({ partitionId: partition, epoch, baseOffset: slot * 4, recordCount: 1 + (slot % 4) }),
            );
            for (const batch of batches) written.set(`${batch.partitionId} ${batch.epoch} ${batch.baseOffset}`, batch);
            await index.commit(commitOf(batches));
            const overlaps = (batch: BatchLocation): boolean =>
              batch.baseOffset < from + length && batch.baseOffset + batch.recordCount > from;
            for (const partitionId of [1, 2, 3]) {
              const expected = [...written.values()]
                .filter((batch) => batch.partitionId === partitionId && batch.epoch === 1 && overlaps(batch))
                .sort((a, b) => a.baseOffset - b.baseOffset);
              const query = {
                partitionId: P(partitionId),
                epoch: E(1),
                from: O(from),
                until: O(from + length),
                limit: 1_000,
              };
              assert.deepEqual(index.range(query), length === 0 ? [] : expected);
            }
            assert.equal(index.count(), written.size);
          },
        ),
        { numRuns: 50 },
      );
      await index.close();
    });
  });
}

test('what was committed is there after the index is opened again', async () => {
  const directory = await newDirectory();
  const index = await openIn(directory);
  await index.commit(commitOf([location()]));
  await index.close();
  const again = await openIn(directory);
  assert.equal(again.count(), 1);
  assert.deepEqual(again.readCheckpoint(), { segmentId: 1, position: 1_000 });
  await again.close();
});

test('what was committed is there after a process that never closed the index', async () => {
  const directory = await newDirectory();
  await (await openIn(directory)).commit(commitOf([location()]));
  const copy = await copyOf(directory);
  const again = await openIn(copy);
  assert.equal(again.count(), 1);
  await again.close();
});

/** The files as a crash leaves them: LMDB does not open one database twice in a process. */
async function copyOf(directory: string): Promise<string> {
  const copy = await newDirectory();
  await mkdir(path.join(copy, 'index'));
  await writeFile(path.join(copy, 'index', 'data.mdb'), await readFile(path.join(directory, 'index', 'data.mdb')));
  return copy;
}

test('an index of another incarnation is rebuilt', async () => {
  const directory = await newDirectory();
  const index = await openIn(directory);
  await index.commit(commitOf([location()]));
  await index.close();
  const other = await openIn(directory, 'ffffffffffffffff' as Incarnation);
  assert.equal(other.count(), 0);
  await other.close();
});

test('an index that was caught lying is rebuilt at the next start', async () => {
  const directory = await newDirectory();
  const index = await openIn(directory);
  await index.commit(commitOf([location()]));
  index.distrust();
  await index.close();
  const again = await openIn(directory);
  assert.equal(again.count(), 0);
  await again.close();
});

test('a file that is no database is replaced', async () => {
  for (const content of [Buffer.alloc(0), Buffer.from('nonsense'), Buffer.alloc(8_192, 7), Buffer.alloc(8_192)]) {
    const directory = await newDirectory();
    await mkdir(path.join(directory, 'index'));
    await writeFile(path.join(directory, 'index', 'data.mdb'), content);
    const index = await openIn(directory);
    assert.equal(index.count(), 0);
    await index.commit(commitOf([location()]));
    await index.close();
  }
});

test('an index with damaged pages never crashes the start', async () => {
  const directory = await newDirectory();
  const index = await openIn(directory);
  const batches = Array.from({ length: 4_000 }, (_, base) =>
    location({ baseOffset: base, partitionId: 1 + (base % 7) }),
  );
  await index.commit(commitOf(batches));
  const random = fc.sample(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { numRuns: 64, seed: 7 });
  let rebuilt = 0;
  for (let round = 0; round < 8; round++) {
    const copy = await copyOf(directory);
    const file = await open(path.join(copy, 'index', 'data.mdb'), 'r+');
    const { size } = await stat(path.join(copy, 'index', 'data.mdb'));
    for (const [place, value] of random.slice(round * 8, round * 8 + 8)) {
      // A run of bytes in the first ones of a page, where its structure is.
      const page = 2 + (place % (size / 4096 - 2));
      await file.write(new Uint8Array(32).fill(value), 0, 32, page * 4096 + (round % 2 === 0 ? 0 : 16));
    }
    await file.close();
    const again = await openIn(copy);
    if (again.count() === 0) rebuilt++;
    await again.commit(commitOf([location()]));
    await again.close();
  }
  assert.ok(rebuilt > 0);
  await index.close();
});

test('an index on a full disk says so, loses nothing, and goes on when there is room', async (context) => {
  const small = await SmallDisk.make(context);
  if (small === undefined) return;
  try {
    const index = await openIn(small.directory);
    await small.fill(3 << 20);
    const commit = (base: number): Promise<void> =>
      index.commit(commitOf(Array.from({ length: 4_000 }, (_, place) => location({ baseOffset: base + place }))));
    let base = 0;
    let full: unknown;
    while (full === undefined && base < 1_000_000) {
      try {
        await commit(base);
        base += 4_000;
      } catch (reason) {
        full = reason;
      }
    }
    assert.ok(full instanceof PyralogError && full.code === 'read-only');
    assert.equal(index.count(), base);
    await small.release();
    await commit(base);
    assert.equal(index.count(), base + 4_000);
    await index.close();
  } finally {
    await small.dispose();
  }
});
