import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Output } from '../output.ts';

/** A stream that hands each write to `sink`, with room for two bytes. */
function stream(sink: (chunk: Buffer, done: (error?: Error) => void) => void): Writable {
  return new Writable({ highWaterMark: 2, write: (chunk: Buffer, _, done) => sink(chunk, done) });
}

function systemError(code: string): Error {
  return Object.assign(new Error(`write ${code}`), { code });
}

test('a write that finds no room is awaited until there is', async () => {
  const waiting: (() => void)[] = [];
  const output = new Output(stream((_, done) => waiting.push(done)));
  assert.equal(output.write('a'), undefined);
  let resumed = false;
  const full = output.write('bcd')?.then(() => {
    resumed = true;
  });
  assert.ok(full !== undefined);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(resumed, false);
  for (let done = waiting.shift(); done !== undefined; done = waiting.shift()) {
    done();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await full;
});

test('a reader that goes away closes the output, without an error', async () => {
  const output = new Output(stream((_, done) => done(systemError('EPIPE'))));
  await output.write('abc');
  assert.equal(output.closed, true);
  assert.equal(output.signal.aborted, true);
  assert.equal(output.write('more'), undefined);
  await output.flush();
});

test('any other failure is thrown at whoever writes', async () => {
  const output = new Output(stream((_, done) => done(systemError('ENOSPC'))));
  await assert.rejects(async () => output.write('abc'), { code: 'ENOSPC' });
  await assert.rejects(async () => output.write('abc'), { code: 'ENOSPC' });
});
