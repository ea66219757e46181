import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AssertionError,
  checkFrame,
  decodeRecords,
  encodeBody,
  FRAME_HEADER_BYTES,
  LIMITS,
  type ProducerRecord,
  PyralogError,
  type RecordTuple,
  recordBytes,
  scanBody,
  TIMESTAMP_DELTA_MAX,
} from '@pyralog/shared/core';
import { Decoder, Encoder } from 'cbor-x';
import fc from 'fast-check';
import { resultOrError, throwsCode } from './support/expect.ts';
import {
  bytesOf,
  CLIENT,
  crc,
  damaged,
  damages,
  fewRecords,
  hex,
  RECORDS,
  recordTuples,
  stampedFrame,
  stampOf,
} from './support/samples.ts';

const OPTIONS = { useRecords: false, tagUint8Array: false, variableMapSize: true };
const cborEncoder = new Encoder(OPTIONS);
const cborDecoder = new Decoder(OPTIONS);

function bodyOf(records: readonly RecordTuple[]): Uint8Array {
  return encodeBody(records).subarray(FRAME_HEADER_BYTES);
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

/** Requires that a body which was let through decodes to tuples of the right shape that encode to the same bytes. */
function assertSound(body: Uint8Array): void {
  const tuples: unknown = cborDecoder.decode(body);
  assert.ok(Array.isArray(tuples));
  for (const tuple of tuples) {
    assert.ok(Array.isArray(tuple) && (tuple.length === 3 || tuple.length === 4));
    const [delta, key, value, headers] = tuple;
    assert.ok(Number.isInteger(delta) && delta >= -TIMESTAMP_DELTA_MAX - 1 && delta <= TIMESTAMP_DELTA_MAX);
    for (const bytes of [key, value]) assert.ok(bytes === null || bytes instanceof Uint8Array);
    if (tuple.length === 3) continue;
    assert.ok(Array.isArray(headers) && headers.length % 2 === 0);
    for (const [index, item] of headers.entries()) {
      assert.ok(index % 2 === 0 ? typeof item === 'string' : item instanceof Uint8Array);
    }
  }
  assert.equal(hex(bodyOf(tuples as RecordTuple[])), hex(body));
}

test('records come back as they were written', () => {
  fc.assert(
    fc.property(recordTuples, (records) => {
      const frame = stampedFrame(records);
      const decoded = decodeRecords(frame, checkFrame(frame, crc));
      assert.equal(decoded.length, records.length);
      for (const [index, [delta, key, value, headers]] of records.entries()) {
        const record = decoded[index];
        assert.ok(record !== undefined);
        assert.equal(record.offset, stampOf().baseOffset + index);
        assert.equal(record.timestampMs, CLIENT.baseTimestampMs + delta);
        assert.equal(hex(record.key ?? bytesOf('none')), hex(key ?? bytesOf('none')));
        assert.equal(hex(record.value ?? bytesOf('none')), hex(value ?? bytesOf('none')));
        assert.equal(record.key === undefined, key === null);
        assert.equal(record.value === undefined, value === null);
        const flat = record.headers.flat().map((item) => (typeof item === 'string' ? item : hex(item)));
        assert.deepEqual(
          flat,
          (headers ?? []).map((item) => (typeof item === 'string' ? item : hex(item))),
        );
      }
    }),
    { numRuns: 500 },
  );
});

test('records are decoded at any position of a larger buffer', () => {
  const frame = stampedFrame(RECORDS);
  const buffer = new Uint8Array(frame.byteLength + 20);
  buffer.set(frame, 9);
  assert.deepEqual(decodeRecords(buffer, checkFrame(buffer, crc, 9), 9), decodeRecords(frame, checkFrame(frame, crc)));
});

test('the body is what cbor-x makes of the same tuples, byte for byte', () => {
  fc.assert(
    fc.property(recordTuples, (records) => assert.equal(hex(bodyOf(records)), hex(cborEncoder.encode(records)))),
    { numRuns: 1_000 },
  );
  const many = Array.from({ length: 65_536 }, (_, index): RecordTuple => [index, null, null]);
  assert.equal(hex(bodyOf(many)), hex(cborEncoder.encode(many)));
});

test('the scan lets through what was encoded', () => {
  fc.assert(
    fc.property(recordTuples, (records) => {
      scanBody(bodyOf(records), records.length);
      assertSound(bodyOf(records));
    }),
    { numRuns: 1_000 },
  );
});

test('the scan refuses a count that is not the header’s', () => {
  const body = bodyOf(RECORDS);
  for (const count of [0, 1, RECORDS.length - 1, RECORDS.length + 1, 65_536])
    throwsCode(() => scanBody(body, count), 'corrupt');
});

test('the scan refuses a body cut short anywhere or followed by anything', () => {
  const body = bodyOf(RECORDS);
  for (let length = 0; length < body.byteLength; length++) {
    throwsCode(() => scanBody(body.subarray(0, length), RECORDS.length), 'corrupt');
  }
  throwsCode(() => scanBody(new Uint8Array([...body, 0]), RECORDS.length), 'corrupt');
});

test('the scan reads nothing past the end of its view', () => {
  const records: RecordTuple[] = [[0, null, bytesOf('x'.repeat(300))]];
  const body = bodyOf(records);
  const followed = new Uint8Array([...body, ...body]);
  for (let length = 0; length < body.byteLength; length++) {
    throwsCode(() => scanBody(followed.subarray(0, length), 1), 'corrupt');
  }
  scanBody(followed.subarray(0, body.byteLength), 1);
});

test('a damaged body is refused or is the one encoding of what it holds', () => {
  let accepted = 0;
  fc.assert(
    fc.property(fewRecords, damages, (records, damage) => {
      const body = damaged(bodyOf(records), damage);
      const error = resultOrError(() => scanBody(body, records.length));
      if (error instanceof PyralogError) {
        assert.ok(error.code === 'corrupt' || error.code === 'invalid');
        return;
      }
      accepted++;
      assertSound(body);
    }),
    { numRuns: 10_000 },
  );
  assert.ok(accepted > 500, `${accepted} accepted`);
});

test('every flipped bit of a body is refused or gives other records of the right shape', () => {
  const body = bodyOf([
    ...RECORDS,
    [5, bytesOf('k'.repeat(30)), bytesOf('v'.repeat(260)), ['ünïcode-€-😀', bytesOf('h')]],
  ]);
  for (let bit = 0; bit < body.byteLength * 8; bit++) {
    const flipped = body.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (resultOrError(() => scanBody(flipped, RECORDS.length + 1)) instanceof PyralogError) continue;
    assertSound(flipped);
  }
});

test('whatever cbor-x encodes is refused unless it is an array of records', () => {
  const value = fc.anything({
    maxDepth: 4,
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withTypedArray: true,
    withSparseArray: true,
  });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(value, fc.array(value, { minLength: 3, maxLength: 4 })), { maxLength: 4 }),
      (values) => {
        const body = new Uint8Array(cborEncoder.encode(values));
        if (!(resultOrError(() => scanBody(body, values.length)) instanceof PyralogError)) assertSound(body);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('random bytes are refused or sound', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (bytes, count) => {
      const body = new Uint8Array([0x80 | count, ...bytes]);
      if (!(resultOrError(() => scanBody(body, count)) instanceof PyralogError)) assertSound(body);
    }),
    { numRuns: 5_000 },
  );
});

test('what is not in the shape of records is refused', () => {
  const cases: Record<string, string> = {
    'no array': '00',
    'a map': 'a1 00 00',
    'an indefinite array': '9f 83 00 f6 f6 ff',
    'a record of two items': '81 82 00 f6',
    'a record of five items': '81 85 00 f6 f6 80 f6',
    'an indefinite record': '81 9f 00 f6 f6 ff',
    'a tagged record': '81 c1 83 00 f6 f6',
    'a tagged array': 'd9 d9 f7 81 83 00 f6 f6',
    'a float timestamp': '81 83 fb 3f f0 00 00 00 00 00 00 f6 f6',
    'a 64-bit timestamp': '81 83 1b 00 00 00 00 00 00 00 01 f6 f6',
    'a timestamp above 32 bits signed': '81 83 1a 80 00 00 00 f6 f6',
    'a timestamp below 32 bits signed': '81 83 3a 80 00 00 00 f6 f6',
    'a timestamp that is null': '81 83 f6 f6 f6',
    'a timestamp with reserved information': '81 83 1c f6 f6',
    'a timestamp in two bytes that fits one': '81 83 18 17 f6 f6',
    'a timestamp in five bytes that fits three': '81 83 1a 00 00 ff ff f6 f6',
    'a timestamp in three bytes that overlaps the key': '81 83 19 00 f6 f6',
    'a timestamp in five bytes that overlaps the key': '81 83 1a 00 00 f6 f6',
    'a negative timestamp in three bytes that fits two': '81 83 39 00 ff f6 f6',
    'a key that is text': '81 83 00 61 61 f6',
    'a key that is undefined': '81 83 00 f7 f6',
    'a value that is a bool': '81 83 00 f6 f5',
    'a value of indefinite length': '81 83 00 f6 5f 41 00 ff',
    'a value with a length of 64 bits': '81 83 00 f6 5b 00 00 00 00 00 00 00 01 00',
    'a value of 4 GiB': '81 83 00 f6 5a ff ff ff ff',
    'a value past the end': '81 83 00 f6 42 00',
    'a length in two bytes that fits one': '81 83 00 f6 58 01 00',
    'an array length in two bytes that fits one': '98 01 83 00 f6 f6',
    'a typed array': '81 83 00 f6 d8 40 41 00',
    'an odd number of header items': '81 84 00 f6 f6 81 61 61',
    'an odd number of header items, and one more after them': '81 84 00 f6 f6 81 61 61 41 00',
    'headers that are a map': '81 84 00 f6 f6 a1 61 61 41 00',
    'headers that are null': '81 84 00 f6 f6 f6',
    'a header name that is bytes': '81 84 00 f6 f6 82 41 61 41 00',
    'a header value that is text': '81 84 00 f6 f6 82 61 61 61 00',
    'a header value that is null': '81 84 00 f6 f6 82 61 61 f6',
    'a header name that is no UTF-8': '81 84 00 f6 f6 82 61 ff 41 00',
    'a header name with a lead byte that wants what follows': '81 84 00 f6 f6 82 61 e2 42 82 ac',
    'a header name with a surrogate': '81 84 00 f6 f6 82 63 ed a0 80 41 00',
    'an overlong header name': '81 84 00 f6 f6 82 62 c0 80 41 00',
    'a header name of 4 GiB': '81 84 00 f6 f6 82 7a ff ff ff ff',
    'a break': '81 ff',
    nothing: '',
  };
  for (const [name, bytes] of Object.entries(cases)) {
    assert.ok(resultOrError(() => scanBody(fromHex(bytes), 1)) instanceof PyralogError, name);
  }
  scanBody(fromHex('81 83 00 f6 f6'), 1);
  scanBody(fromHex('81 84 00 f6 f6 82 63 e2 82 ac 41 00'), 1);
});

test('a CBOR bomb is refused without being unfolded', () => {
  const size = 1_048_576;
  const bombs: Record<string, Uint8Array> = {
    'a million empty maps': new Uint8Array([0x9a, 0x00, 0x0f, 0xff, 0xfb, ...new Uint8Array(size - 5).fill(0xa0)]),
    'a million empty maps in one record': new Uint8Array([
      0x81,
      0x9a,
      0,
      0x0f,
      0xff,
      0xf9,
      ...new Uint8Array(size - 6).fill(0xa0),
    ]),
    'a million nested arrays': new Uint8Array(size).fill(0x81),
    'a million nested tags': new Uint8Array([0x81, ...new Uint8Array(size).fill(0xc1)]),
    'a million nested indefinite arrays': new Uint8Array(size).fill(0x9f),
    'an array of 4 billion': fromHex('9a ff ff ff ff'),
    'an array of 2^64': fromHex('9b ff ff ff ff ff ff ff ff'),
    'headers of 4 billion': fromHex('81 84 00 f6 f6 9a ff ff ff fe'),
    'a map of 4 billion': fromHex('ba ff ff ff ff'),
    'a record definition': fromHex('81 d9 df ff 83 19 e0 00 81 61 61 01'),
    'packed values': fromHex('81 d8 33 84 80 80 80 e0'),
    'bundled strings': fromHex('81 d9 df f9 82 00 00'),
  };
  for (const [name, body] of Object.entries(bombs)) {
    for (const count of [1, 65_536, 1_048_571]) {
      const before = process.memoryUsage().heapUsed;
      throwsCode(() => scanBody(body, count), 'corrupt');
      assert.ok(process.memoryUsage().heapUsed - before < 4_000_000, name);
    }
    const frame = new Uint8Array(FRAME_HEADER_BYTES + body.byteLength);
    frame.set(body, FRAME_HEADER_BYTES);
    const header = { ...checkFrame(stampedFrame(RECORDS), crc), frameLength: frame.byteLength };
    throwsCode(() => decodeRecords(frame, header), 'corrupt');
  }
});

test('a record over its limit is refused, naming size and limit', () => {
  const room = LIMITS.recordBytesMax - (1 + 1 + 1 + 5);
  scanBody(bodyOf([[0, null, new Uint8Array(room)]]), 1);
  const { fields } = throwsCode(() => scanBody(bodyOf([[0, null, new Uint8Array(room + 1)]]), 1), 'invalid');
  assert.deepEqual(fields, { field: 'record', size: LIMITS.recordBytesMax + 1, limit: LIMITS.recordBytesMax });
});

test('a record with more headers than its limit is refused', () => {
  const headers = (count: number): (string | Uint8Array)[] =>
    Array.from({ length: count }, () => ['n', bytesOf('v')]).flat();
  scanBody(bodyOf([[0, null, null, headers(LIMITS.recordHeadersMax)]]), 1);
  throwsCode(() => scanBody(bodyOf([[0, null, null, headers(LIMITS.recordHeadersMax + 1)]]), 1), 'corrupt');
});

test('the size of a record is known before it is encoded, its timestamp taken at its longest', () => {
  fc.assert(
    fc.property(recordTuples, (records) => {
      for (const [delta, key, value, flat] of records) {
        const headers: [string, Uint8Array][] = [];
        for (let index = 0; index < (flat?.length ?? 0); index += 2) {
          headers.push([flat?.[index] as string, flat?.[index + 1] as Uint8Array]);
        }
        const record: ProducerRecord = { key: key ?? undefined, value: value ?? undefined, headers };
        const tuple: RecordTuple = headers.length === 0 ? [delta, key, value] : [delta, key, value, flat ?? []];
        const encoded = bodyOf([tuple]).byteLength - 1;
        const slack = recordBytes(record) - encoded;
        assert.ok(slack >= 0 && slack <= 4, `${slack}`);
      }
    }),
    { numRuns: 300 },
  );
});

test('a lone surrogate in a header name is written as the replacement character', () => {
  for (const name of ['\ud800', `${'x'.repeat(100)}\udc00`]) {
    const frame = stampedFrame([[0, null, null, [name, bytesOf('v')]]]);
    const [record] = decodeRecords(frame, checkFrame(frame, crc));
    assert.equal(record?.headers[0]?.[0], name.replace(/[\ud800-\udfff]/, '\ufffd'));
  }
});

test('a timestamp delta outside 32 bits is a programmer’s error', () => {
  for (const delta of [TIMESTAMP_DELTA_MAX + 1, -TIMESTAMP_DELTA_MAX - 2, 0.5, Number.NaN]) {
    assert.throws(() => encodeBody([[delta, null, null]]), AssertionError);
  }
});
