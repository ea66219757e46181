import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODES, invalid, PyralogError } from '@pyralog/shared/core';
import { CommanderError } from 'commander';
import { reportError } from '../error-report.ts';

const text = { json: false, usage: 'pyralog log create' };
const json = { json: true, usage: 'pyralog log create' };

test('an operating error is one line with fields, code and remedy, and ends 1', () => {
  const reason = invalid('replicationFactor', 'replication factor exceeds the storage nodes', {
    replicationFactor: 5,
    limit: 4,
  });
  assert.deepEqual(reportError(reason, text), {
    exitCode: 1,
    line: 'error: replication factor exceeds the storage nodes (field=replicationFactor, replicationFactor=5, limit=4) [invalid] — use --replication-factor 4 or less, or add storage nodes',
  });
});

test('every code has a remedy', () => {
  for (const code of ERROR_CODES) {
    const { line } = reportError(new PyralogError({ code, message: 'it failed' }), text);
    assert.match(line ?? '', new RegExp(`^error: it failed \\[${code}\\] — \\S`));
  }
});

test('an error stays on one line whatever its message holds', () => {
  const { line } = reportError(new PyralogError({ code: 'invalid', message: 'first\n  second' }), text);
  assert.match(line ?? '', /^error: first second \[invalid\] — .*$/);
});

test('with JSON an error is an object', () => {
  const { line, exitCode } = reportError(
    new PyralogError({ code: 'timeout', message: 'no reply in time', fields: { a: 1 } }),
    json,
  );
  assert.equal(exitCode, 1);
  const { error } = JSON.parse(line ?? '');
  const { remedy, ...rest } = error;
  assert.deepEqual(rest, {
    code: 'timeout',
    message: 'no reply in time',
    retry: 'same',
    outcome: 'unknown',
    fields: { a: 1 },
  });
  assert.equal(typeof remedy, 'string');
});

test('a usage error names the help and ends 2', () => {
  const reason = new CommanderError(
    1,
    'commander.unknownOption',
    "error: unknown option '--partition'\n(Did you mean --partitions?)",
  );
  assert.deepEqual(reportError(reason, text), {
    exitCode: 2,
    line: "error: unknown option '--partition' (Did you mean --partitions?) [invalid] — see: pyralog log create --help",
  });
});

test('help and version end 0 and print nothing more', () => {
  assert.deepEqual(reportError(new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)'), text), {
    exitCode: 0,
    line: undefined,
  });
});

test('an error of the operating system shows its code and no stack; a defect shows its stack', () => {
  const denied = Object.assign(new Error("EACCES: permission denied, mkdir '/x'"), {
    code: 'EACCES',
    syscall: 'mkdir',
  });
  assert.match(
    reportError(denied, text).line ?? '',
    /^error: EACCES: permission denied, mkdir '\/x' \[EACCES\] — [^\n]*$/,
  );
  assert.match(reportError(new TypeError('x is not a function'), text).line ?? '', /\[internal\] — .*\n.*TypeError/);
});
