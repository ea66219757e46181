import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from '@pyralog/shared/core';
import fc from 'fast-check';
import { bytesOf, crc } from './support/samples.ts';

test('the checksum of the published check string is cbf43926', () => {
  assert.equal(crc32(bytesOf('123456789')), 0xcbf43926);
  assert.equal(crc32(bytesOf('')), 0);
  assert.equal(crc32(bytesOf('The quick brown fox jumps over the lazy dog')), 0x414fa339);
});

test('the reference and the native checksum agree on any bytes at any alignment', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(20), (bytes, skip) => {
      const part = bytes.subarray(Math.min(skip, bytes.byteLength));
      assert.equal(crc32(part), crc(part));
    }),
    { numRuns: 500 },
  );
});
