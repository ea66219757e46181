import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Epoch, Offset } from '@pyralog/shared/core';
import fc from 'fast-check';
import { bytesToJson, recordToJson } from '../record-json.ts';

test('every byte string can be had back from its JSON', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.string({ unit: 'binary' }).map((text) => new Uint8Array(Buffer.from(text))),
      ),
      (bytes) => {
        const json: unknown = JSON.parse(JSON.stringify(bytesToJson(bytes)));
        const back =
          typeof json === 'string'
            ? Buffer.from(json)
            : Buffer.from(String(Reflect.get(Object(json), 'base64')), 'base64');
        assert.deepEqual(new Uint8Array(back), bytes);
      },
    ),
  );
});

test('UTF-8 is text, a byte order mark included; other bytes are base64', () => {
  assert.equal(bytesToJson(Buffer.from('grün')), 'grün');
  assert.equal(bytesToJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), '\ufeffa');
  assert.deepEqual(bytesToJson(Uint8Array.of(0xff, 0x00)), { base64: '/wA=' });
  assert.equal(bytesToJson(new Uint8Array(0)), '');
});

test('a record is one line with its place, and null for what it does not have', () => {
  const record = {
    partition: 2,
    offset: 7 as Offset,
    epoch: 3 as Epoch,
    timestamp: 1_700_000_000_000,
    key: undefined,
    value: Buffer.from('a\nb'),
    headers: [['trace', Uint8Array.of(0x80)] as const, ['trace', Buffer.from('x')] as const],
  };
  assert.equal(
    recordToJson(record),
    '{"partition":2,"offset":7,"epoch":3,"timestamp":1700000000000,"key":null,"value":"a\\nb","headers":[["trace",{"base64":"gA=="}],["trace","x"]]}',
  );
});
