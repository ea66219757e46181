import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLine } from '../command-line.ts';

test('a hint calls the command as it was called', () => {
  assert.equal(commandLine('/repo/node_modules/.bin/pyralog', '/repo'), 'npx pyralog');
  assert.equal(commandLine('/usr/local/bin/pyralog', '/repo'), 'pyralog');
  assert.equal(commandLine('/repo/cli/dist/main.js', '/repo'), 'node cli/dist/main.js');
  assert.equal(commandLine('/repo/cli/dist/main.js', '/tmp'), 'node /repo/cli/dist/main.js');
});
