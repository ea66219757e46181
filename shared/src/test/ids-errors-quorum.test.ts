import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AssertionError,
  assert as assertLaw,
  checkQuorum,
  checkReadQuorum,
  checkWhole,
  denialQuorum,
  describeError,
  type Epoch,
  ERROR_CODES,
  formatLogName,
  formatLsn,
  invalid,
  isLogName,
  isNamespace,
  isProcessId,
  LIMITS,
  LOG_NAME_LENGTH_MAX,
  type Offset,
  PyralogError,
  parseLogName,
  unreachable,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { throwsCode } from './support/expect.ts';

test('a log name is namespace/name and comes back as it was', () => {
  for (const value of ['a/b', 'Team_1/orders.v2', `${'n'.repeat(64)}/${'x'.repeat(LOG_NAME_LENGTH_MAX)}`]) {
    assert.equal(formatLogName(parseLogName(value)), value);
  }
});

test('a bad log name is refused, naming the field', () => {
  const bad = [
    '',
    '/',
    'a',
    'a/',
    '/b',
    'a/b/c',
    'a b/c',
    'a/.b',
    'a/b.',
    'a/b..c',
    'a/*',
    'a/>',
    'a.b/c',
    'a/b c',
    'ä/b',
  ];
  bad.push(`${'n'.repeat(65)}/x`, `n/${'x'.repeat(LOG_NAME_LENGTH_MAX + 1)}`, 'a/b\n', 'a\n/b');
  for (const value of bad) assert.equal(throwsCode(() => parseLogName(value), 'invalid').fields.field, 'log', value);
});

test('names that are let through are single tokens of a NATS subject, dots of log names aside', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 70 }), (value) => {
      if (isNamespace(value) || isProcessId(value)) assert.match(value, /^[A-Za-z0-9_-]+$/);
      if (isLogName(value)) assert.match(value, /^[A-Za-z0-9_.-]+$/);
    }),
    { numRuns: 1_000 },
  );
  assert.ok(isProcessId('storage-node-1'));
  for (const value of ['', '-a', 'A', 'a.b', 'a_b', 'a'.repeat(64), 'a\n']) assert.ok(!isProcessId(value), value);
});

test('an LSN is shown as epoch and offset', () => {
  assert.equal(formatLsn(7 as Epoch, 42 as Offset), 'e7:42');
});

test('an error says what a caller may do and whether it may have happened', () => {
  for (const code of ERROR_CODES) {
    const error = new PyralogError({ code, message: 'x' });
    assert.ok(['never', 'same', 'refresh'].includes(error.retry));
    assert.equal(error.outcome, code === 'timeout' ? 'unknown' : 'not-applied');
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'PyralogError');
  }
  const explicit = new PyralogError({ code: 'corrupt', message: 'x', retry: 'same', outcome: 'unknown', cause: 1 });
  assert.deepEqual([explicit.retry, explicit.outcome, explicit.cause], ['same', 'unknown', 1]);
});

test('an error is described on one line with its fields', () => {
  const error = invalid('records', 'too many records', { limit: 3, gone: undefined, nodes: ['a', 'b'] });
  assert.equal(describeError(error), 'too many records (field=records, limit=3, nodes=a,b)');
  assert.equal(describeError(new Error('plain')), 'plain');
  assert.equal(describeError('text'), 'text');
});

test("a programmer's error is an assertion, not an operating error", () => {
  assert.throws(() => assertLaw(false, 'law'), AssertionError);
  assert.throws(() => unreachable('x' as never), AssertionError);
  assertLaw(true, 'law');
});

test('a quorum rule holds exactly when 1 <= W <= RF <= nodes and RF is within its limit', () => {
  for (let replicationFactor = -1; replicationFactor <= 9; replicationFactor++) {
    for (let writeQuorum = -1; writeQuorum <= 9; writeQuorum++) {
      for (let nodes = 0; nodes <= 9; nodes++) {
        const holds =
          writeQuorum >= 1 &&
          writeQuorum <= replicationFactor &&
          replicationFactor <= nodes &&
          replicationFactor <= LIMITS.replicationFactorMax;
        const check = (): void => checkQuorum({ replicationFactor, writeQuorum }, nodes);
        if (holds) check();
        else
          assert.ok(['replicationFactor', 'writeQuorum'].includes(String(throwsCode(check, 'invalid').fields.field)));
      }
    }
  }
  const tooMany = throwsCode(() => checkQuorum({ replicationFactor: 5, writeQuorum: 2 }, 4), 'invalid');
  assert.deepEqual(tooMany.fields, { field: 'replicationFactor', replicationFactor: 5, limit: 4 });
});

test('a read quorum is taken exactly when it meets every write quorum', () => {
  for (let replicationFactor = 1; replicationFactor <= 7; replicationFactor++) {
    for (let writeQuorum = 1; writeQuorum <= replicationFactor; writeQuorum++) {
      for (let readQuorum = -1; readQuorum <= 8; readQuorum++) {
        const check = (): void => checkReadQuorum({ replicationFactor, writeQuorum }, readQuorum);
        if (readQuorum >= 1 && readQuorum <= replicationFactor && writeQuorum + readQuorum > replicationFactor) check();
        else assert.equal(throwsCode(check, 'invalid').fields.field, 'readQuorum');
      }
    }
  }
});

test('the denials that rule out a write quorum leave fewer than W members', () => {
  for (let replicationFactor = 1; replicationFactor <= 7; replicationFactor++) {
    for (let writeQuorum = 1; writeQuorum <= replicationFactor; writeQuorum++) {
      const denials = denialQuorum({ replicationFactor, writeQuorum });
      assert.ok(replicationFactor - denials < writeQuorum);
      assert.ok(replicationFactor - (denials - 1) >= writeQuorum);
    }
  }
});

test('a number that is not whole or not within its limits is refused with the limits', () => {
  checkWhole('x', 1, 1, 3);
  checkWhole('x', 3, 1, 3);
  for (const value of [0, 4, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    const { fields } = throwsCode(() => checkWhole('x', value, 1, 3), 'invalid');
    assert.deepEqual(fields, { field: 'x', value, minimum: 1, limit: 3 });
  }
});
