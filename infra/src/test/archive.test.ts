/** Taking one file out of an archive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileOfTar, fileOfZip } from '../nats-server/archive.ts';
import { tarOf, zipOf } from './fake-archives.ts';

const content = Buffer.from(Array.from({ length: 3_000 }, (_, index) => index % 7));
const files = { 'a/': '', 'a/README': 'read me', 'a/nats-server': content, 'a/nats-server.txt': 'no' };

test('a file is found in a tar by the end of its path', () => {
  assert.deepEqual(fileOfTar(tarOf(files), 'a/nats-server'), content);
  assert.throws(() => fileOfTar(tarOf(files), 'b/nats-server'), /no b\/nats-server/);
  assert.throws(() => fileOfTar(Buffer.alloc(0), 'x'), /no x/);
});

test('a tar cut short anywhere never yields a shortened file', () => {
  const archive = tarOf(files);
  for (let length = 0; length < archive.byteLength; length += 97) {
    try {
      assert.deepEqual(fileOfTar(archive.subarray(0, length), 'a/nats-server'), content);
    } catch (error) {
      assert.match(String(error), /damaged|has no/);
    }
  }
});

for (const method of ['stored', 'deflated'] as const) {
  test(`a ${method} file is found in a zip by the end of its path`, () => {
    assert.deepEqual(fileOfZip(zipOf(files, method), 'a/nats-server', 10_000), content);
    assert.throws(() => fileOfZip(zipOf(files, method), 'b/nats-server', 10_000), /no b\/nats-server/);
  });

  test(`a ${method} zip cut short anywhere is refused`, () => {
    const archive = zipOf(files, method);
    for (let length = 0; length < archive.byteLength; length += 13) {
      assert.throws(() => fileOfZip(archive.subarray(0, length), 'a/nats-server', 10_000));
    }
  });
}

test('a zip bomb is refused at the limit', () => {
  assert.throws(() => fileOfZip(zipOf({ bomb: Buffer.alloc(1_000_000) }, 'deflated'), 'bomb', 1_000));
});
