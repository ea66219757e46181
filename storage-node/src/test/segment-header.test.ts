import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyralogError } from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from '../core/segment-header.ts';
import { INCARNATION } from './support/test-store.ts';

const HEADER: SegmentHeader = {
  segmentId: 7,
  incarnation: INCARNATION,
  nonce: 0x0123456789abcdefn,
  createdAtMs: 1_700_000_000_000,
  previousSegmentId: 6,
  previousBytes: 268_435_456,
};

test('a segment header is these bytes', () => {
  const bytes = encodeSegmentHeader(HEADER, nativeCrc32);
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    [
      '50595347', // magic
      '1f4a695c', // CRC-32 of what follows
      '0100000000000000', // version
      '0700000000000000', // segment id
      'ddccbbaa33221100', // incarnation
      'efcdab8967452301', // nonce
      '0068e5cf8b010000', // created
      '0600000000000000', // previous segment
      '0000001000000000', // its durable bytes
    ].join(''),
  );
});

test('a segment header survives the round trip', () => {
  assert.deepEqual(decodeSegmentHeader(encodeSegmentHeader(HEADER, nativeCrc32), nativeCrc32), HEADER);
});

test('a segment header that is cut short anywhere is damaged', () => {
  const bytes = encodeSegmentHeader(HEADER, nativeCrc32);
  for (let length = 0; length < SEGMENT_HEADER_BYTES; length++) {
    assert.equal(decodeSegmentHeader(bytes.subarray(0, length), nativeCrc32), undefined);
  }
});

test('a segment header with any bit flipped is damaged', () => {
  for (let bit = 0; bit < SEGMENT_HEADER_BYTES * 8; bit++) {
    const bytes = encodeSegmentHeader(HEADER, nativeCrc32);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(decodeSegmentHeader(bytes, nativeCrc32), undefined, `bit ${bit}`);
  }
});

test('a sound segment header of a newer format is refused by name', () => {
  const bytes = encodeSegmentHeader(HEADER, nativeCrc32);
  bytes[8] = 2;
  new DataView(bytes.buffer).setUint32(4, nativeCrc32(bytes.subarray(8)), true);
  assert.throws(
    () => decodeSegmentHeader(bytes, nativeCrc32),
    (reason) => reason instanceof PyralogError && reason.code === 'invalid' && reason.fields.version === 2,
  );
});
