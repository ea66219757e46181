import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noProgress, startProgress } from '../progress.ts';

test('there is no progress bar where there is no terminal', () => {
  assert.equal(
    process.stderr.isTTY === true ? noProgress : startProgress({ stream: process.stderr, title: 'produce', total: 5 }),
    noProgress,
  );
});
