import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AppendReply,
  AssertionError,
  adminRequestSchema,
  clusterRequestSchema,
  decodeAppendReply,
  decodeFetchReply,
  decodeMessage,
  decodeReadMessage,
  decodeRelease,
  decodeReply,
  decodeSealReply,
  decodeStoreAcks,
  decodeWriteBack,
  encodeAppendReply,
  encodeFailure,
  encodeMessage,
  encodeReadMessage,
  encodeRelease,
  encodeResult,
  encodeSealReply,
  encodeStoreAcks,
  encodeWriteBack,
  FRAME_HEADER_BYTES,
  fetchRequestSchema,
  heartbeatSchema,
  type Incarnation,
  LIMITS,
  LOG_NAME_LENGTH_MAX,
  LOGS_LISTED_MAX,
  logListSchema,
  logTopologySchema,
  PyralogError,
  partitionStatusReplySchema,
  partitionStatusRequestSchema,
  partitionStatusSchema,
  READ_MESSAGE_PREFIX_BYTES,
  type ReadMessage,
  type Release,
  readEndSchema,
  readRequestSchema,
  SEALS_MAX,
  type SealAnswer,
  type SealReply,
  STORE_ACKS_MAX,
  STORE_VERDICTS,
  type StorageNodeId,
  type StoreAck,
  sealRequestSchema,
  topologyHintSchema,
  utf8,
  type WriteBack,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { z } from 'zod';
import { resultOrError, throwsCode } from './support/expect.ts';
import { damaged, damages, hex, RECORDS, stampedFrame, U32_MAX, u32, u64, whole } from './support/samples.ts';

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const appendReplies = record({ epoch: u32, baseOffset: whole, appendTimeMs: whole }) as fc.Arbitrary<AppendReply>;
const releases = record({ epoch: u32, nonce: u64, releasedOffset: whole }) as fc.Arbitrary<Release>;
const nodeIds = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/) as fc.Arbitrary<StorageNodeId>;
const acks = fc.array(
  record({
    partitionId: u32,
    epoch: u32,
    nonce: u64,
    baseOffset: whole,
    verdict: fc.constantFrom(...STORE_VERDICTS),
    sealedEpoch: u32,
  }),
  { maxLength: 20 },
) as fc.Arbitrary<StoreAck[]>;
const readMessages = record({
  kind: fc.constantFrom('frames', 'end'),
  sequence: u32,
  bytes: fc.uint8Array({ maxLength: 100 }),
}) as fc.Arbitrary<ReadMessage>;

/** The laws of a binary codec: round trip, nothing shorter or longer is taken, damage never goes unnoticed as a crash. */
function checkCodec<T>(codec: {
  readonly values: fc.Arbitrary<T>;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
  /** Bytes that are ignored: reserved ones. */
  readonly reserved: readonly number[];
  readonly cutAllowedFrom?: number;
}): void {
  const { values, encode, decode, reserved, cutAllowedFrom } = codec;
  fc.assert(
    fc.property(values, (value) => assert.deepEqual(decode(encode(value)), value)),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(values, (value) => {
      const bytes = encode(value);
      for (let length = 0; length < Math.min(bytes.byteLength, cutAllowedFrom ?? bytes.byteLength); length++) {
        throwsCode(() => decode(bytes.subarray(0, length)), 'corrupt', 'invalid');
      }
      if (cutAllowedFrom === undefined) throwsCode(() => decode(new Uint8Array([...bytes, 0])), 'corrupt', 'invalid');
    }),
    { numRuns: 50 },
  );
  const clean = (bytes: Uint8Array): string => {
    const copy = bytes.slice();
    for (const position of reserved) copy[position] = 0;
    return hex(copy);
  };
  const sound = (bytes: Uint8Array): void => {
    const value = resultOrError(() => decode(bytes));
    if (value instanceof PyralogError) assert.ok(value.code === 'corrupt' || value.code === 'invalid');
    else assert.equal(clean(encode(value)), clean(bytes));
  };
  fc.assert(
    fc.property(values, damages, (value, damage) => sound(damaged(encode(value), damage))),
    { numRuns: 2_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), sound), { numRuns: 1_000 });
  const [sample] = fc.sample(values, { numRuns: 1, seed: 7 });
  const original = encode(sample as T);
  for (let bit = 0; bit < original.byteLength * 8; bit++) {
    const flipped = original.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    sound(flipped);
  }
}

test('an append reply is 24 bytes that come back, or is refused', () => {
  checkCodec({ values: appendReplies, encode: encodeAppendReply, decode: decodeAppendReply, reserved: [1, 2, 3] });
  assert.equal(encodeAppendReply({ epoch: 1, baseOffset: 2, appendTimeMs: 3 } as AppendReply).byteLength, 24);
});

test("an append that failed throws the owner's error", () => {
  const failure = new PyralogError({ code: 'overloaded', message: 'window is full', fields: { limit: 5 } });
  const error = throwsCode(() => decodeAppendReply(encodeFailure(failure)), 'overloaded');
  assert.deepEqual([error.retry, error.outcome, error.fields], ['same', 'not-applied', { limit: 5 }]);
});

test('an append reply that is not understood leaves the outcome unknown', () => {
  const bad = [
    new Uint8Array(0),
    new Uint8Array(24),
    utf8('{'),
    utf8('{}'),
    encodeResult({}),
    encodeResult(undefined),
    utf8('no'),
  ];
  for (const bytes of bad) assert.equal(throwsCode(() => decodeAppendReply(bytes), 'invalid').outcome, 'unknown');
});

test('a release is 24 bytes that come back, or is refused', () => {
  checkCodec({ values: releases, encode: encodeRelease, decode: decodeRelease, reserved: [1, 2, 3] });
});

const incarnations = fc.stringMatching(/^[0-9a-f]{16}$/);
const NOBODY = { nodeId: 'n' as StorageNodeId, incarnation: '0123456789abcdef' as Incarnation };

test('store acknowledgements come back, or are refused', () => {
  checkCodec({
    values: record({ nodeId: nodeIds, incarnation: incarnations.map((id) => id as Incarnation), acks }),
    encode: encodeStoreAcks,
    decode: decodeStoreAcks,
    reserved: [2, 3],
  });
});

test('store acknowledgements that claim more than they hold are refused before anything is allocated', () => {
  const bytes = encodeStoreAcks({ ...NOBODY, acks: [] });
  for (const count of [1, STORE_ACKS_MAX, STORE_ACKS_MAX + 1, U32_MAX]) {
    const claiming = bytes.slice();
    new DataView(claiming.buffer).setUint32(4, count, true);
    throwsCode(() => decodeStoreAcks(claiming), 'corrupt');
  }
  const tooMany = new Uint8Array(bytes.byteLength + (STORE_ACKS_MAX + 1) * 32);
  tooMany.set(bytes);
  new DataView(tooMany.buffer).setUint32(4, STORE_ACKS_MAX + 1, true);
  throwsCode(() => decodeStoreAcks(tooMany), 'corrupt');
});

test("a full message of store acknowledgements fits NATS' default payload, and more is a programmer's error", () => {
  const [ack] =
    fc.sample(
      acks.filter((list) => list.length > 0),
      1,
    )[0] ?? [];
  assert.ok(ack !== undefined);
  const full = new Array<StoreAck>(STORE_ACKS_MAX).fill(ack);
  assert.ok(encodeStoreAcks({ ...NOBODY, nodeId: 'n'.repeat(63) as StorageNodeId, acks: full }).byteLength < 1_048_576);
  assert.throws(() => encodeStoreAcks({ ...NOBODY, acks: [...full, ack] }), AssertionError);
});

const sealAnswers = record({
  partitionId: u32,
  sealed: fc.boolean(),
  sealedEpoch: u32,
  releasedOffset: whole,
  foreign: fc.boolean(),
  mayHaveLost: fc.boolean(),
  complete: fc.boolean(),
  headers: fc.array(fc.uint8Array({ minLength: FRAME_HEADER_BYTES, maxLength: FRAME_HEADER_BYTES }), { maxLength: 3 }),
});

test('a seal reply comes back, or is refused', () => {
  checkCodec({
    values: record({
      nodeId: nodeIds,
      incarnation: incarnations,
      answers: fc.array(sealAnswers, { maxLength: 4 }),
    }) as unknown as fc.Arbitrary<SealReply>,
    encode: encodeSealReply,
    decode: decodeSealReply,
    reserved: [2, 3],
  });
});

test('a seal reply that claims more than it holds is refused before anything is allocated', () => {
  const reply = { nodeId: 'n', incarnation: '0123456789abcdef', answers: [] } as unknown as SealReply;
  const bytes = encodeSealReply(reply);
  for (const count of [1, SEALS_MAX, SEALS_MAX + 1, U32_MAX]) {
    const claiming = bytes.slice();
    new DataView(claiming.buffer).setUint32(4, count, true);
    throwsCode(() => decodeSealReply(claiming), 'corrupt');
  }
  const tooMany = new Uint8Array(bytes.byteLength + (SEALS_MAX + 1) * 24);
  tooMany.set(bytes);
  new DataView(tooMany.buffer).setUint32(4, SEALS_MAX + 1, true);
  throwsCode(() => decodeSealReply(tooMany), 'corrupt');
  const [answer] = fc.sample(sealAnswers as unknown as fc.Arbitrary<SealAnswer>, 1);
  assert.ok(answer !== undefined);
  const one = encodeSealReply({ ...reply, answers: [{ ...answer, headers: [] }] });
  for (const headers of [1, U32_MAX]) {
    const claiming = one.slice();
    new DataView(claiming.buffer).setUint32(17 + 12, headers, true);
    throwsCode(() => decodeSealReply(claiming), 'corrupt');
  }
});

test('a write-back comes back, or is refused', () => {
  checkCodec({
    values: record({ ballot: u32, frame: fc.uint8Array({ maxLength: 200 }) }) as fc.Arbitrary<WriteBack>,
    encode: encodeWriteBack,
    decode: decodeWriteBack,
    reserved: [4, 5, 6, 7],
    cutAllowedFrom: 8,
  });
});

test("the reply to a fetch is the frame, or the node's error", () => {
  const frame = stampedFrame(RECORDS);
  assert.equal(decodeFetchReply(frame), frame);
  const failure = new PyralogError({ code: 'unavailable', message: 'batch is not here' });
  throwsCode(() => decodeFetchReply(encodeFailure(failure)), 'unavailable');
  assert.equal(throwsCode(() => decodeFetchReply(utf8('{"ok":true}')), 'invalid').outcome, 'unknown');
});

test('a message of a read comes back, or is refused', () => {
  checkCodec({
    values: readMessages,
    encode: ({ kind, sequence, bytes }) => encodeReadMessage(kind, sequence, [bytes.subarray(0, 3), bytes.subarray(3)]),
    decode: decodeReadMessage,
    reserved: [1, 2, 3],
    cutAllowedFrom: READ_MESSAGE_PREFIX_BYTES,
  });
});

test('a result comes back through its reply, bigints as hexadecimal digits', () => {
  const schema = z.object({ nonce: z.string(), list: z.array(z.number()) });
  assert.deepEqual(decodeReply(schema, encodeResult({ nonce: 255n, list: [1] })), {
    nonce: '00000000000000ff',
    list: [1],
  });
});

const fieldValue = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string(), { maxLength: 3 }));
const failures = record({
  code: fc.constantFrom('invalid', 'overloaded', 'timeout', 'fenced', 'data-loss', 'closed'),
  message: fc.string({ maxLength: 100 }),
  retry: fc.constantFrom('never', 'same', 'refresh'),
  outcome: fc.constantFrom('not-applied', 'unknown'),
  // A field of the name that sets prototypes is dropped on arrival, as it should be.
  fields: fc.dictionary(
    fc.string({ maxLength: 10 }).filter((name) => name !== '__proto__'),
    fieldValue,
    { maxKeys: 5, noNullPrototype: true },
  ),
}).map((description) => new PyralogError(description as ConstructorParameters<typeof PyralogError>[0]));

test('an error comes back by value', () => {
  fc.assert(
    fc.property(failures, (error) => {
      const back = throwsCode(() => decodeReply(z.unknown(), encodeFailure(error)), error.code);
      assert.deepEqual(
        [back.message, back.retry, back.outcome, { ...back.fields }],
        [error.message, error.retry, error.outcome, { ...error.fields }],
      );
    }),
    { numRuns: 300 },
  );
});

test('a field that would set the prototype of the others is dropped', () => {
  const fields = JSON.parse('{"__proto__": false, "limit": 3}') as Record<string, boolean>;
  const error = new PyralogError({ code: 'invalid', message: 'm', fields });
  const back = throwsCode(() => decodeReply(z.unknown(), encodeFailure(error)), 'invalid');
  assert.deepEqual(Object.keys(back.fields), ['limit']);
});

test('an error arrives as itself however large or odd its fields are', () => {
  const error = new PyralogError({
    code: 'invalid',
    message: 'm'.repeat(5_000),
    fields: {
      value: 'v'.repeat(2_000_000),
      nan: Number.NaN,
      endless: Number.NEGATIVE_INFINITY,
      absent: undefined,
      list: new Array<string>(10_000).fill('x'.repeat(2_000)),
    },
  });
  const encoded = encodeFailure(error);
  assert.ok(encoded.byteLength < LIMITS.controlMessageBytesMax);
  const back = throwsCode(() => decodeReply(z.unknown(), encoded), 'invalid');
  assert.equal(back.fields.nan, 'NaN');
  assert.equal(back.fields.endless, '-Infinity');
  assert.ok(!('absent' in back.fields));
});

test('what is no operating error is reported as unavailable with an unknown outcome', () => {
  for (const reason of [new Error('x'.repeat(9_999)), new TypeError('bad'), 'text', undefined, { a: 1 }]) {
    assert.equal(throwsCode(() => decodeReply(z.unknown(), encodeFailure(reason)), 'unavailable').outcome, 'unknown');
  }
});

test('a request that is not well formed is refused, naming the field', () => {
  const bad: readonly (readonly [unknown, string])[] = [
    [{ op: 'create-log', name: 'x', options: {} }, 'options.partitions'],
    [{ op: 'create-log', name: 1, options: { partitions: 1 } }, 'name'],
    [{ op: 'explode' }, 'op'],
    [{ op: 'topology', name: 'a/b', from: 0 }, 'name'],
    [{ op: 'topology', name: 'a', from: -1 }, 'from'],
    ['text', 'message'],
    [[], 'message'],
  ];
  for (const [message, field] of bad) {
    const error = throwsCode(() => decodeMessage(adminRequestSchema, encodeMessage(message)), 'invalid');
    assert.deepEqual([error.fields.field, error.outcome], [field, 'not-applied'], JSON.stringify(message));
  }
  decodeMessage(adminRequestSchema, encodeMessage({ op: 'list-logs' }));
  decodeMessage(clusterRequestSchema, encodeMessage({ op: 'status' }));
});

const READ_REQUEST = {
  partitionId: 7,
  epoch: 1,
  from: 0,
  until: 100,
  placement: {
    strategy: 'per-record',
    seed: 1,
    scatterWidth: 8,
    replicationFactor: 2,
    slots: [{ nodeId: 'a' }, { nodeId: 'b', zone: 'z' }],
  },
  exclude: ['a'],
  credit: 1_000,
};

test('a read request comes back, and one that is out of bounds is refused', () => {
  assert.deepEqual(decodeMessage(readRequestSchema, encodeMessage(READ_REQUEST)), READ_REQUEST);
  const { placement } = READ_REQUEST;
  const many = Array.from({ length: LIMITS.nodesetNodesMax + 1 }, (_, index) => ({ nodeId: `n${index}` }));
  const bad: Record<string, unknown>[] = [
    { from: -1 },
    { until: 2 ** 53 },
    { credit: 0 },
    { credit: LIMITS.readCreditBytesMax + 1 },
    { exclude: many.map((slot) => slot.nodeId) },
    { exclude: ['*'] },
    { placement: { ...placement, replicationFactor: 3 } },
    { placement: { ...placement, replicationFactor: 0 } },
    { placement: { ...placement, scatterWidth: LIMITS.scatterWidthMax + 1 } },
    { placement: { ...placement, slots: many } },
    { placement: { ...placement, slots: [] } },
    { placement: undefined },
  ];
  for (const change of bad) {
    throwsCode(() => decodeMessage(readRequestSchema, encodeMessage({ ...READ_REQUEST, ...change })), 'invalid');
  }
});

test('any JSON, cut or damaged, is refused or taken by a schema, and never anything else', () => {
  const schemas = [
    adminRequestSchema,
    clusterRequestSchema,
    heartbeatSchema,
    readRequestSchema,
    readEndSchema,
    topologyHintSchema,
    partitionStatusSchema,
    partitionStatusReplySchema,
    partitionStatusRequestSchema,
    sealRequestSchema,
    fetchRequestSchema,
    logTopologySchema,
  ];
  const valid = fc.constantFrom<unknown>(
    READ_REQUEST,
    { op: 'list-logs' },
    { next: 1, releasedOffset: 1 },
    { partition: 1, epoch: 2 },
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.json().map(utf8), valid.map(encodeMessage)),
      damages,
      fc.constantFrom(...schemas),
      (json, damage, schema) => {
        for (const bytes of [json, damaged(json, damage)]) {
          const result = resultOrError(() => decodeMessage(schema, bytes));
          if (result instanceof PyralogError) assert.equal(result.code, 'invalid');
          const reply = resultOrError(() => decodeReply(schema, bytes));
          if (reply instanceof PyralogError) assert.equal(reply.code, 'invalid');
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('a JSON bomb is refused', () => {
  const depth = 400_000;
  const bombs = [
    '['.repeat(depth) + ']'.repeat(depth),
    '{"a":'.repeat(depth / 4),
    `{"op":${'['.repeat(depth)}${']'.repeat(depth)}}`,
  ];
  for (const bomb of bombs) throwsCode(() => decodeMessage(adminRequestSchema, utf8(bomb)), 'invalid');
  const proto = '{"__proto__":{"op":"list-logs"},"constructor":{"prototype":{"x":1}}}';
  throwsCode(() => decodeMessage(adminRequestSchema, utf8(proto)), 'invalid');
  assert.equal(({} as Record<string, unknown>).x, undefined);
});

test('a message over its limit is refused before it is parsed, naming size and limit', () => {
  const large = new Uint8Array(LIMITS.controlMessageBytesMax + 1).fill(0x20);
  const { fields } = throwsCode(() => decodeMessage(z.unknown(), large), 'invalid');
  assert.deepEqual(fields, { field: 'message', size: large.byteLength, limit: LIMITS.controlMessageBytesMax });
});

test('a full list of logs with the longest names fits one message', () => {
  const log = {
    namespace: 'n'.repeat(64),
    name: 'l'.repeat(LOG_NAME_LENGTH_MAX),
    firstPartitionId: U32_MAX,
    partitionCount: LIMITS.logPartitionsMax,
    replicationFactor: 7,
    writeQuorum: 7,
    strategy: 'per-partition',
    seed: U32_MAX,
    scatterWidth: 64,
    durability: 'memory',
    createdAtMs: Number.MAX_SAFE_INTEGER,
    state: 'deleting',
  };
  const bytes = encodeResult({ logs: new Array(LOGS_LISTED_MAX).fill(log) });
  assert.equal(decodeReply(logListSchema, bytes).logs.length, LOGS_LISTED_MAX);
});
