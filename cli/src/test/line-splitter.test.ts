import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyralogError } from '@pyralog/shared/core';
import fc from 'fast-check';
import { LineSplitter } from '../line-splitter.ts';

function splitAll(chunks: readonly Uint8Array[], lineBytesMax = 1_000): Buffer[] {
  const splitter = new LineSplitter({ lineBytesMax });
  const lines: Buffer[] = [];
  for (const chunk of chunks) {
    splitter.push(chunk);
    for (let line = splitter.next(); line !== undefined; line = splitter.next()) lines.push(Buffer.from(line));
  }
  const last = splitter.end();
  if (last !== undefined) lines.push(Buffer.from(last));
  assert.equal(splitter.lines, lines.length);
  return lines;
}

function splitText(...chunks: string[]): string[] {
  return splitAll(chunks.map((chunk) => Buffer.from(chunk))).map((line) => line.toString());
}

/** Bytes among which line ends are frequent. */
const input = fc
  .array(fc.oneof(fc.constant(10), fc.integer({ min: 0, max: 255 })), { maxLength: 200 })
  .map((bytes) => Uint8Array.from(bytes));

test('lines and line feeds make up the input', () => {
  fc.assert(
    fc.property(input, (bytes) => {
      const lines = splitAll([bytes]);
      const joined = Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')]));
      const whole =
        bytes.length === 0 || bytes.at(-1) === 10 ? Buffer.from(bytes) : Buffer.concat([bytes, Buffer.from('\n')]);
      assert.deepEqual(joined, whole);
    }),
  );
});

test('any chunking gives the same lines', () => {
  fc.assert(
    fc.property(input, fc.array(fc.nat({ max: 200 })), (bytes, cuts) => {
      const places = [0, ...cuts.filter((cut) => cut <= bytes.length).sort((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((place, index) => bytes.slice(places[index], place));
      assert.deepEqual(splitAll(chunks), splitAll([bytes]));
    }),
  );
});

test('a last line without a line feed counts, an empty rest does not', () => {
  assert.deepEqual(splitText('a\nb'), ['a', 'b']);
  assert.deepEqual(splitText('a\nb\n'), ['a', 'b']);
  assert.deepEqual(splitText(''), []);
});

test('empty lines and carriage returns are kept', () => {
  assert.deepEqual(splitText('\n\na\r\n'), ['', '', 'a\r']);
});

test('a line that spans chunks is not changed by the lines after it', () => {
  const splitter = new LineSplitter({ lineBytesMax: 100 });
  splitter.push(Buffer.from('first'));
  assert.equal(splitter.next(), undefined);
  splitter.push(Buffer.from('-line\nsecond'));
  const first = splitter.next();
  assert.equal(splitter.next(), undefined);
  splitter.push(Buffer.from('-line\n'));
  splitter.next();
  assert.equal(Buffer.from(first ?? []).toString(), 'first-line');
});

test('a line over the limit is refused with its number and the limit, whole or in pieces', () => {
  const tooLong = (reason: unknown): boolean => {
    assert.ok(reason instanceof PyralogError);
    assert.equal(reason.code, 'invalid');
    assert.deepEqual(reason.fields, { field: 'line', line: 2, sizeAtLeast: 6, limit: 5 });
    return true;
  };
  assert.throws(() => splitAll([Buffer.from('12345\n123456\n')], 5), tooLong);
  assert.throws(() => splitAll([Buffer.from('12345\n123'), Buffer.from('456')], 5), tooLong);
  assert.equal(splitAll([Buffer.from('12345\n12345')], 5).length, 2);
});
