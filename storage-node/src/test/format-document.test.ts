/** That the section "Segment file" of docs/FORMAT.md and the code say the same. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32, type Incarnation } from '@pyralog/shared/core';
import { z } from 'zod';
import { encodeCommitMark } from '../core/commit-mark.ts';
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER_BYTES } from '../core/segment-header.ts';

function find(path: string, from: string): string {
  return existsSync(join(from, path)) ? join(from, path) : find(path, dirname(from));
}

const document = readFileSync(find('docs/FORMAT.md', dirname(fileURLToPath(import.meta.url))), 'utf8');

function vector<T extends z.ZodType>(name: string, schema: T): z.output<T> {
  const [, json = ''] = document.match(new RegExp(`^\`\`\`json vector=${name}\\n([\\s\\S]*?)^\`\`\`$`, 'm')) ?? [];
  return schema.parse(JSON.parse(json));
}

const whole = z.number().int();
const hexLines = z.array(z.string()).transform((lines) => lines.join('').replaceAll(' ', ''));
const u64 = z.string().transform((digits) => BigInt(`0x${digits}`));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('a segment header is that of the document', () => {
  const { hex: expected, ...fields } = vector(
    'segment-header',
    z.object({
      segmentId: whole,
      incarnation: z.string(),
      nonce: u64,
      createdAtMs: whole,
      previousSegmentId: whole,
      previousBytes: whole,
      hex: hexLines,
    }),
  );
  const header = { ...fields, incarnation: fields.incarnation as Incarnation };
  const bytes = encodeSegmentHeader(header, crc32);
  assert.equal(bytes.byteLength, SEGMENT_HEADER_BYTES);
  assert.equal(hex(bytes), expected);
  assert.deepEqual(decodeSegmentHeader(bytes, crc32), header);
});

test('a commit mark is that of the document', () => {
  const {
    segmentNonce,
    position,
    writtenAtMs,
    hex: expected,
  } = vector('commit-mark', z.object({ segmentNonce: u64, position: whole, writtenAtMs: whole, hex: hexLines }));
  assert.equal(hex(encodeCommitMark({ segmentNonce, position }, writtenAtMs, crc32)), expected);
});
