import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from 'commander';
import { nonEmpty, offsetArgument, wholeNumber } from '../arguments.ts';

test('a whole number is read, its limits included', () => {
  const read = wholeNumber(1, 4_096);
  assert.equal(read('1'), 1);
  assert.equal(read('4096'), 4_096);
});

test('what is not a whole number within its limits is refused', () => {
  const read = wholeNumber(1, 4_096);
  for (const value of [
    '',
    '0',
    '4097',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    ' 1',
    '12abc',
    'NaN',
    'Infinity',
    '99999999999999999999',
  ]) {
    assert.throws(() => read(value), InvalidArgumentError, value);
  }
});

test('an offset is earliest, latest, a position, or a count before the end', () => {
  assert.equal(offsetArgument('earliest'), 'earliest');
  assert.equal(offsetArgument('latest'), 'latest');
  assert.deepEqual(offsetArgument('42'), { offset: 42 });
  assert.deepEqual(offsetArgument('0'), { offset: 0 });
  assert.deepEqual(offsetArgument('-3'), { last: 3 });
  for (const value of ['', '-', 'first', '1.5', '--3', '9007199254740992', '-9007199254740992']) {
    assert.throws(() => offsetArgument(value), InvalidArgumentError, value);
  }
});

test('an empty value is refused', () => {
  assert.throws(() => nonEmpty(''), InvalidArgumentError);
  assert.equal(nonEmpty('x'), 'x');
});
