import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BODY_CRC_FROM,
  checkClientFrame,
  checkFrame,
  checkFrameHeader,
  controlFrame,
  endOffset,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBody,
  HEADER_CRC_FROM,
  LIMITS,
  PyralogError,
  readFrameHeader,
  sameBatch,
  stampFrame,
  viewOf,
  writeClientHeader,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { resultOrError, throwsCode } from './support/expect.ts';
import {
  CLIENT,
  clientFields,
  clientFrame,
  crc,
  damaged,
  damages,
  fewRecords,
  hex,
  RECORDS,
  recordTuples,
  stampedFrame,
  stampOf,
  stamps,
  u64,
} from './support/samples.ts';

/** Writes both checksums anew, as someone would who damages frames on purpose. */
function repairChecksums(frame: Uint8Array): void {
  const view = viewOf(frame);
  view.setUint32(52, crc(frame.subarray(BODY_CRC_FROM)), true);
  view.setUint32(4, crc(frame.subarray(HEADER_CRC_FROM, FRAME_HEADER_BYTES)), true);
}

/** The frame that a header and a body make. */
function encodeFrame(header: FrameHeader, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.byteLength);
  frame.set(body, FRAME_HEADER_BYTES);
  writeClientHeader(frame, header, crc, header.kind);
  stampFrame(frame, header, crc);
  return frame;
}

test('a frame gives back what client and sequencer wrote', () => {
  fc.assert(
    fc.property(recordTuples, clientFields, stamps, (records, fields, stamp) => {
      const frame = clientFrame(records, fields);
      const body = frame.slice(FRAME_HEADER_BYTES);
      const sent = checkClientFrame(frame, crc);
      stampFrame(frame, stamp, crc);
      const header = checkFrame(frame, crc);
      assert.deepEqual(header, {
        kind: 'batch',
        codec: 'none',
        frameLength: frame.byteLength,
        recordCount: records.length,
        bodyBytes: body.byteLength,
        ...fields,
        ...stamp,
      });
      assert.equal(sent.recordCount, records.length);
      assert.deepEqual(frameBody(frame, header), body);
      assert.equal(endOffset(header), stamp.baseOffset + records.length);
    }),
    { numRuns: 300 },
  );
});

test('a frame is read at any position of a larger buffer, its bounds kept', () => {
  const frame = stampedFrame(RECORDS);
  const buffer = new Uint8Array(frame.byteLength + 200).fill(0xaa);
  buffer.set(frame, 77);
  const view = buffer.subarray(7);
  const header = checkFrame(view, crc, 70);
  assert.deepEqual(frameBody(view, header, 70), frame.subarray(FRAME_HEADER_BYTES));
  assert.deepEqual(header, checkFrame(frame, crc));
  assert.deepEqual(checkFrameHeader(view, crc, 70), header);
});

test('a frame cut short anywhere is refused', () => {
  const frame = stampedFrame(RECORDS);
  const sent = clientFrame(RECORDS);
  for (let length = 0; length < frame.byteLength; length++) {
    throwsCode(() => checkFrame(frame.subarray(0, length), crc), 'corrupt');
    throwsCode(() => checkClientFrame(sent.subarray(0, length), crc), 'corrupt');
  }
});

test('the header alone can be checked, its body absent', () => {
  const frame = stampedFrame(RECORDS);
  assert.equal(checkFrameHeader(frame.subarray(0, FRAME_HEADER_BYTES), crc).frameLength, frame.byteLength);
});

test('bytes after the frame are refused from a client, and not read in a segment', () => {
  const longer = new Uint8Array([...clientFrame(RECORDS), 0]);
  throwsCode(() => checkClientFrame(longer, crc), 'corrupt');
  assert.equal(checkFrame(new Uint8Array([...stampedFrame(RECORDS), 0]), crc).recordCount, RECORDS.length);
});

test('any flipped bit of a stamped frame is detected', () => {
  const frame = stampedFrame(RECORDS);
  for (let bit = 0; bit < frame.byteLength * 8; bit++) {
    const flipped = frame.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    throwsCode(() => checkFrame(flipped, crc), 'corrupt');
    if (bit < FRAME_HEADER_BYTES * 8) throwsCode(() => checkFrameHeader(flipped, crc), 'corrupt');
  }
});

test("any flipped bit of a client's frame is detected or overwritten by the stamp", () => {
  const sent = clientFrame(RECORDS);
  const stamped = stampedFrame(RECORDS);
  let overwritten = 0;
  for (let bit = 0; bit < sent.byteLength * 8; bit++) {
    const flipped = sent.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (resultOrError(() => checkClientFrame(flipped, crc)) instanceof PyralogError) continue;
    stampFrame(flipped, stampOf(), crc);
    assert.deepEqual(flipped, stamped, `bit ${bit}`);
    overwritten++;
  }
  assert.ok(overwritten > 0 && overwritten <= (52 - 4) * 8);
});

test('a batch moved under another partition, epoch, nonce, offset or time is detected', () => {
  const frame = stampedFrame(RECORDS);
  const changes = [
    { partitionId: 8 },
    { epoch: 3 },
    { nonce: 1n },
    { baseOffset: 43 },
    { appendTimeMs: 1 },
    { releasedOffset: 41 },
    { durability: 'memory' },
  ];
  for (const change of changes) {
    const other = stampedFrame(RECORDS, stampOf(change));
    const moved = frame.slice();
    moved.set(other.subarray(HEADER_CRC_FROM, 52), HEADER_CRC_FROM);
    throwsCode(() => checkFrame(moved, crc), 'corrupt');
    assert.doesNotThrow(() => checkFrame(other, crc));
  }
});

test("one batch's header before another batch's body is detected", () => {
  const frame = stampedFrame([[0, null, new Uint8Array([1])]]);
  const other = stampedFrame([[0, null, new Uint8Array([2])]], stampOf({ baseOffset: 43 }));
  const mixed = frame.slice();
  mixed.set(other.subarray(FRAME_HEADER_BYTES), FRAME_HEADER_BYTES);
  throwsCode(() => checkFrame(mixed, crc), 'corrupt');
});

test('a frame damaged on purpose, checksums repaired, is refused or is exactly what it says', () => {
  let accepted = 0;
  fc.assert(
    fc.property(fewRecords, damages, fc.boolean(), (records, damage, fitted) => {
      const original = stampedFrame(records);
      const frame = damaged(original, damage, 0);
      if (fitted && frame.byteLength >= 64) viewOf(frame).setUint32(60, frame.byteLength, true);
      if (fitted && frame.byteLength >= 96) viewOf(frame).setUint32(92, frame.byteLength - FRAME_HEADER_BYTES, true);
      if (frame.byteLength >= FRAME_HEADER_BYTES) repairChecksums(frame);
      const header = resultOrError(() => checkFrame(frame, crc));
      if (header instanceof PyralogError) {
        assert.equal(header.code, 'corrupt');
        return;
      }
      accepted++;
      assert.deepEqual(encodeFrame(header, frameBody(frame, header)), frame.subarray(0, header.frameLength));
    }),
    { numRuns: 10_000 },
  );
  assert.ok(accepted > 500, `${accepted} accepted`);
});

test('random bytes, checksums repaired, are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: FRAME_HEADER_BYTES, maxLength: 300 }), fc.boolean(), (bytes, begin) => {
      if (begin) bytes.set(stampedFrame(RECORDS).subarray(0, 8));
      repairChecksums(bytes);
      throwsCode(() => checkFrame(bytes, crc), 'corrupt');
    }),
    { numRuns: 1_000 },
  );
});

test('lengths, counts and unknown values are refused before they are used', () => {
  const cases: readonly (readonly [string, (view: DataView) => void])[] = [
    ['magic', (view) => view.setUint32(0, 0, true)],
    ['version', (view) => view.setUint8(56, 2)],
    ['kind 0', (view) => view.setUint8(57, 0)],
    ['kind 4', (view) => view.setUint8(57, 4)],
    ['codec', (view) => view.setUint16(58, 1, true)],
    ['flags', (view) => view.setUint16(58, 0x10, true)],
    ['length below the header', (view) => view.setUint32(60, FRAME_HEADER_BYTES - 1, true)],
    ['length of 4 GiB', (view) => view.setUint32(60, 0xffff_ffff, true)],
    ['length over the limit', (view) => view.setUint32(60, LIMITS.frameBytesMax + 1, true)],
    [
      'length over the limit, the body along with it',
      (view) => {
        view.setUint32(60, LIMITS.frameBytesMax + 1, true);
        view.setUint32(92, LIMITS.frameBytesMax + 1 - FRAME_HEADER_BYTES, true);
      },
    ],
    ['no records', (view) => view.setUint32(64, 0, true)],
    ['too many records', (view) => view.setUint32(64, LIMITS.batchRecordsMax + 1, true)],
    ['reserved bytes', (view) => view.setUint16(90, 1, true)],
    ['body length', (view) => view.setUint32(92, 0xffff_ffff, true)],
    ['stamp flags', (view) => view.setUint32(48, 2, true)],
    ['offset above the safe integers', (view) => view.setBigUint64(24, 2n ** 53n, true)],
    ['last offset above the safe integers', (view) => view.setBigUint64(24, 2n ** 53n - 2n, true)],
    ['append time', (view) => view.setBigUint64(32, 2n ** 64n - 1n, true)],
    ['released offset', (view) => view.setBigUint64(40, 2n ** 53n, true)],
    ['base timestamp', (view) => view.setBigUint64(80, 2n ** 53n, true)],
  ];
  for (const [name, damage] of cases) {
    const frame = stampedFrame(RECORDS);
    damage(viewOf(frame));
    repairChecksums(frame);
    const error = throwsCode(() => checkFrame(frame, crc), 'corrupt');
    assert.doesNotMatch(error.message, /checksum/, name);
    throwsCode(() => readFrameHeader(frame), 'corrupt');
  }
});

test('a client can send batches only: a seal or a commit mark from one is refused', () => {
  for (const kind of ['seal', 'commit'] as const) {
    const frame = controlFrame(kind, stampOf(), crc);
    assert.equal(checkFrame(frame, crc).kind, kind);
    throwsCode(() => checkClientFrame(frame, crc), 'corrupt');
  }
});

test('a control frame is a header only', () => {
  fc.assert(
    fc.property(stamps, fc.constantFrom('seal', 'commit'), (stamp, kind) => {
      const frame = controlFrame(kind, stamp, crc);
      const header = checkFrame(frame, crc);
      assert.equal(frame.byteLength, FRAME_HEADER_BYTES);
      assert.deepEqual({ ...header, ...stamp }, { ...header, durability: stamp.durability });
      assert.deepEqual([header.kind, header.recordCount, header.durability], [kind, 0, 'fsync']);
    }),
  );
  const withBody = stampedFrame(RECORDS);
  viewOf(withBody).setUint8(57, 3);
  viewOf(withBody).setUint32(64, 0, true);
  repairChecksums(withBody);
  throwsCode(() => checkFrame(withBody, crc), 'corrupt');
});

test('two frames hold the same batch unless something other than the released offset differs', () => {
  const frame = stampedFrame(RECORDS);
  assert.ok(sameBatch(frame, stampedFrame(RECORDS, stampOf({ releasedOffset: 0 }))));
  const different = [
    stampedFrame(RECORDS.slice(1)),
    stampedFrame([[5, null, null], ...RECORDS.slice(1)]),
    stampedFrame(RECORDS, stampOf(), { ...CLIENT, baseSequence: 1 }),
    ...[
      { partitionId: 8 },
      { epoch: 3 },
      { nonce: 1n },
      { baseOffset: 43 },
      { appendTimeMs: 1 },
      { durability: 'memory' },
    ].map((change) => stampedFrame(RECORDS, stampOf(change))),
  ];
  for (const other of different) assert.ok(!sameBatch(frame, other));
});

test('stamping touches neither the body nor its checksum', () => {
  fc.assert(
    fc.property(fewRecords, stamps, u64, (records, stamp, nonce) => {
      const sent = clientFrame(records);
      const frame = sent.slice();
      stampFrame(frame, stampOf({ ...stamp, nonce }), crc);
      assert.equal(hex(frame.subarray(52)), hex(sent.subarray(52)));
    }),
    { numRuns: 100 },
  );
});
