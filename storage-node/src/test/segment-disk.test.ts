/** What every `SegmentDisk` must do: on files, and in memory, where the other tests run. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PyralogError, type SegmentDisk } from '@pyralog/shared/core';
import { FileSegmentDisk } from '../disk/file-segment-disk.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { SmallDisk } from './support/small-disk.ts';

const failsWith = (code: string) => (reason: unknown) => reason instanceof PyralogError && reason.code === code;
const bytes = (length: number, first = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (first + index) % 256);

let root = '';
before(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'pyralog-disk-'));
});
after(() => rm(root, { recursive: true, force: true }));

async function fileDisk(): Promise<SegmentDisk> {
  return FileSegmentDisk.open(await mkdtemp(path.join(root, 'data-')));
}

for (const [name, make] of [
  ['files', fileDisk],
  ['memory', () => Promise.resolve<SegmentDisk>(new MemoryDisk())],
] as const) {
  describe(`segments in ${name}`, () => {
    test('a new disk has no segments', async () => {
      assert.deepEqual(await (await make()).list(), []);
    });

    test('segments are listed in the order of their ids', async () => {
      const disk = await make();
      for (const id of [10, 9, 100, 1]) await (await disk.create(id)).close();
      assert.deepEqual(await disk.list(), [1, 9, 10, 100]);
    });

    test('what was appended is read back, across buffers and reopening', async () => {
      const disk = await make();
      const file = await disk.create(1);
      await file.append(0, [bytes(10), bytes(0), bytes(300, 10)]);
      await file.append(310, [bytes(5, 310)]);
      await file.sync();
      assert.equal(file.size, 315);
      assert.deepEqual(await file.read(0, 315), bytes(315));
      await file.close();
      const again = await disk.open(1);
      assert.equal(again.size, 315);
      assert.deepEqual(await again.read(5, 20), bytes(20, 5));
      await again.close();
    });

    test('a read gives fewer bytes at the end of the file, and none behind it', async () => {
      const file = await (await make()).create(1);
      await file.append(0, [bytes(10)]);
      assert.deepEqual(await file.read(8, 100), bytes(2, 8));
      assert.equal((await file.read(50, 10)).byteLength, 0);
      await file.close();
    });

    test('more buffers than one writev takes are all written', async () => {
      const file = await (await make()).create(1);
      await file.append(
        0,
        Array.from({ length: 3_000 }, (_, index) => bytes(1 + (index % 3), index)),
      );
      const expected = Buffer.concat(Array.from({ length: 3_000 }, (_, index) => bytes(1 + (index % 3), index)));
      assert.deepEqual(Buffer.from(await file.read(0, expected.byteLength + 1)), expected);
      await file.close();
    });

    test('a cut removes the end, and writing goes on there', async () => {
      const disk = await make();
      const file = await disk.create(1);
      await file.append(0, [bytes(100)]);
      await file.truncate(40);
      assert.equal(file.size, 40);
      await file.append(40, [bytes(10, 7)]);
      assert.deepEqual(await file.read(38, 100), Uint8Array.from([38, 39, ...bytes(10, 7)]));
      await file.close();
      const again = await disk.open(1);
      assert.equal(again.size, 50);
      await again.close();
    });

    test('a segment is created once', async () => {
      const disk = await make();
      await (await disk.create(1)).close();
      await assert.rejects(disk.create(1), failsWith('unavailable'));
    });

    test('a segment that is not there cannot be opened or removed', async () => {
      const disk = await make();
      await assert.rejects(disk.open(1), failsWith('unavailable'));
      await assert.rejects(disk.remove(1), failsWith('unavailable'));
    });

    test('a removed segment is gone', async () => {
      const disk = await make();
      await (await disk.create(1)).close();
      await disk.remove(1);
      assert.deepEqual(await disk.list(), []);
    });

    test('free space is a number of bytes', async () => {
      assert.ok((await (await make()).freeBytes()) > 0);
    });
  });
}

test('files that are not named like a segment are left alone', async () => {
  const data = await mkdtemp(path.join(root, 'data-'));
  const disk = await FileSegmentDisk.open(data);
  await writeFile(path.join(data, 'segments', '00000000000000000001.seg.bak'), 'x');
  await writeFile(path.join(data, 'segments', '1.seg'), 'x');
  await (await disk.create(12)).close();
  assert.deepEqual(await disk.list(), [12]);
  assert.ok((await readdir(path.join(data, 'segments'))).includes('00000000000000000012.seg'));
});

test('a full disk is told from a failing one, and what was written in part can be cut away', async (context) => {
  const small = await SmallDisk.make(context);
  if (small === undefined) return;
  try {
    const disk = await FileSegmentDisk.open(small.directory);
    const file = await disk.create(1);
    await small.fill(256 * 1024);
    await file.append(0, [bytes(100_000)]);
    await assert.rejects(file.append(100_000, [bytes(100_000), bytes(100_000)]), failsWith('read-only'));
    await file.truncate(100_000);
    await file.append(100_000, [bytes(50_000)]);
    await file.sync();
    assert.equal((await file.read(0, 1 << 20)).byteLength, 150_000);
    await file.close();
  } finally {
    await small.dispose();
  }
});
