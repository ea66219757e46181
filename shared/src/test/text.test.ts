import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AssertionError,
  bytesEqual,
  concatBytes,
  detached,
  hex64,
  isUtf8,
  readU64,
  text,
  textIfUtf8,
  utf8,
  utf8Length,
  viewOf,
  writeU64,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { throwsCode } from './support/expect.ts';
import { U64_MAX } from './support/samples.ts';

test('bytes are UTF-8 exactly when a strict decoder takes them', () => {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const accepts = (bytes: Uint8Array): boolean => {
    try {
      strict.decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  const check = (bytes: Uint8Array): void =>
    assert.equal(isUtf8(bytes, 0, bytes.byteLength), accepts(bytes), `${bytes}`);
  for (let first = 0; first < 256; first++) {
    check(new Uint8Array([first]));
    for (let second = 0; second < 256; second++) check(new Uint8Array([first, second]));
  }
  const edge = fc.constantFrom(
    0x00,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc2,
    0xdf,
    0xe0,
    0xed,
    0xef,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  );
  fc.assert(
    fc.property(fc.array(edge, { maxLength: 6 }), (bytes) => check(new Uint8Array(bytes))),
    { numRuns: 5_000 },
  );
});

test('a range of bytes is judged without what surrounds it', () => {
  const bytes = utf8('aß');
  assert.ok(isUtf8(bytes, 0, 1));
  assert.ok(!isUtf8(bytes, 0, 2));
  assert.ok(!isUtf8(bytes, 2, 3));
});

test('the length of text in UTF-8 is known without encoding it, lone surrogates included', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)), maxLength: 40 }),
      (value) => {
        assert.equal(utf8Length(value), utf8(value).byteLength);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('text comes back as it was written, a byte order mark included', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      assert.equal(text(utf8(value)), value);
      assert.equal(textIfUtf8(utf8(value)), value);
    }),
  );
  assert.equal(text(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])), '\ufeffa');
  assert.equal(textIfUtf8(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])), '\ufeffa');
  assert.equal(textIfUtf8(new Uint8Array([0xff])), undefined);
});

test('a count survives 64 bits, and one beyond the safe integers is refused', () => {
  const view = new DataView(new ArrayBuffer(8));
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      writeU64(view, 0, value);
      assert.equal(view.getBigUint64(0, true), BigInt(value));
      assert.equal(readU64(view, 0), value);
    }),
  );
  for (const value of [2n ** 53n, U64_MAX]) {
    view.setBigUint64(0, value, true);
    throwsCode(() => readU64(view, 0), 'corrupt');
  }
  for (const value of [-1, 0.5, Number.NaN, 2 ** 53]) assert.throws(() => writeU64(view, 0, value), AssertionError);
});

test('a u64 has 16 hexadecimal digits', () => {
  assert.equal(hex64(0n), '0000000000000000');
  assert.equal(hex64(U64_MAX), 'ffffffffffffffff');
});

test('bytes are joined, compared and viewed at their own place in a buffer', () => {
  const buffer = new Uint8Array([9, 1, 2, 3, 9]);
  const part = buffer.subarray(1, 4);
  assert.equal(viewOf(part).getUint8(0), 1);
  assert.ok(bytesEqual(concatBytes([part.subarray(0, 1), new Uint8Array(0), part.subarray(1)]), part));
  assert.ok(!bytesEqual(part, buffer));
  assert.ok(!bytesEqual(new Uint8Array([1, 2, 4]), part));
});

test('a small view of a large buffer is copied before it is kept, any other is not', () => {
  const large = new Uint8Array(4_096).fill(1);
  const small = large.subarray(10, 20);
  const kept = detached(small);
  assert.deepEqual(kept, small);
  assert.ok(kept.buffer.byteLength < 4_096);
  const most = large.subarray(0, 2_048);
  assert.equal(detached(most), most);
});
