import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyralogError } from '@pyralog/shared/core';
import { recordSource } from '../record-source.ts';

const line = (text: string): Buffer => Buffer.from(text);

test('a line is the value as it is, with the key and partition that were asked for', () => {
  assert.deepEqual(recordSource({})(line('x'), 1), { value: line('x') });
  assert.deepEqual(recordSource({ key: 'k', partition: 0 })(line('x'), 1), {
    value: line('x'),
    key: line('k'),
    partition: 0,
  });
});

test('the key field of a JSON line is its key', () => {
  const source = recordSource({ keyField: 'id' });
  assert.equal(source(line('{"id":"grün"}'), 1).key, 'grün');
  assert.equal(source(line('{"id":7}\r'), 1).key, '7');
  assert.equal(source(line('{"id":false}'), 1).key, 'false');
});

test('a line without a usable key field is refused with its number', () => {
  const source = recordSource({ keyField: 'id' });
  for (const text of ['', 'x', '[]', '7', 'null', '{}', '{"id":null}', '{"id":{}}', '{"toString":1}']) {
    assert.throws(
      () => source(line(text), 3),
      (reason) => reason instanceof PyralogError && reason.code === 'invalid' && reason.fields.line === 3,
      text,
    );
  }
  assert.throws(() => recordSource({ keyField: 'toString' })(line('{}'), 1), PyralogError);
});
