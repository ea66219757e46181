import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Buckets,
  CLUSTER_KEYS,
  closedEnd,
  clusterConfigSchema,
  decodeMetadata,
  encodeMetadata,
  type Fragment,
  fragmentAt,
  LIMITS,
  type LogConfig,
  logSchema,
  nodeSchema,
  type Offset,
  openFragment,
  type PartitionId,
  type PartitionRecord,
  PyralogError,
  partitionIdsOf,
  partitionKey,
  partitionRecordSchema,
  type StorageNodeId,
  text,
  utf8,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { resultOrError, throwsCode } from './support/expect.ts';
import { u32, u64, whole } from './support/samples.ts';

const processId = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/);
const digits = fc.stringMatching(/^[0-9a-f]{16}$/);
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const zone = fc.option(fc.string({ minLength: 1, maxLength: 20 }), { nil: undefined });

const replication = fc
  .record({
    rf: fc.integer({ min: 1, max: LIMITS.replicationFactorMax }),
    w: fc.integer({ min: 1, max: LIMITS.replicationFactorMax }),
    strategy: fc.constantFrom('per-record', 'per-partition'),
    seed: u32,
    scatterWidth: fc.integer({ min: 1, max: LIMITS.scatterWidthMax }),
    durability: fc.constantFrom('fsync', 'memory'),
  })
  .map(({ rf, w, ...rest }) => ({ replicationFactor: rf, writeQuorum: Math.min(w, rf), ...rest }));

const fragments: fc.Arbitrary<Fragment[]> = fc
  .array(
    fc.record({
      length: fc.nat(1_000),
      epochs: fc.integer({ min: 1, max: 5 }),
      nonce: u64,
      sequencerId: processId,
      nodes: fc.uniqueArray(
        fc.record({ nodeId: processId, incarnation: digits, zone }, { requiredKeys: ['nodeId', 'incarnation'] }),
        {
          minLength: LIMITS.replicationFactorMax,
          maxLength: 9,
          selector: (slot) => slot.nodeId,
        },
      ),
      replication,
    }),
    { maxLength: 5 },
  )
  .chain((parts) =>
    fc.boolean().map((open) => {
      let start = 0;
      let epoch = 0;
      return parts.map(({ length, epochs, nodes, replication: rule, ...rest }, index) => {
        const from = start;
        start += length;
        epoch += epochs;
        const end = open && index === parts.length - 1 ? {} : { end: start };
        return { epoch, start: from, ...end, slots: nodes, ...rest, ...rule } as unknown as Fragment;
      });
    }),
  );

const producer = fc.record({
  producerId: u64,
  epoch: fc.nat(0xffff),
  nextSequence: u32,
  batches: fc.array(
    fc.record({
      baseSequence: u32,
      recordCount: fc.nat(LIMITS.batchRecordsMax),
      epoch: u32,
      baseOffset: whole,
      appendTimeMs: whole,
    }),
    { maxLength: LIMITS.producerBatchesRemembered },
  ),
});

const partitionRecords: fc.Arbitrary<PartitionRecord> = fc
  .record({
    partitionId: u32,
    fragments,
    trimPoint: whole,
    tieredOffset: whole,
    lastAppendTimeMs: whole,
    claim: fc.option(fc.record({ epoch: u32, sequencerId: processId, nonce: u64 }), { nil: undefined }),
    successor: fc.option(processId, { nil: undefined }),
    halted: fc.option(fc.string({ maxLength: 100 }), { nil: undefined }),
    producersAt: whole,
    producers: fc.array(producer, { maxLength: 3 }),
    later: fc.nat(3),
  })
  .map(({ later, ...rest }) => {
    return { ...rest, lastEpoch: (rest.fragments.at(-1)?.epoch ?? 0) + later } as unknown as PartitionRecord;
  });

/** What a value is on the wire: without prototypes, and without fields that are undefined. */
const plain = (value: unknown): unknown => JSON.parse(text(encodeMetadata(value)));

test('a partition record comes back as it was written', () => {
  fc.assert(
    fc.property(partitionRecords, (value) => {
      const decoded = decodeMetadata(partitionRecordSchema, 'p.1', encodeMetadata(value));
      assert.deepEqual(plain(decoded), plain(value));
      for (const [index, { nonce }] of decoded.fragments.entries()) assert.equal(nonce, value.fragments[index]?.nonce);
    }),
    { numRuns: 200 },
  );
});

test('a log, a node and the configuration come back as they were written', () => {
  const log = fc
    .record({
      namespace: name,
      name,
      firstPartitionId: u32,
      partitionCount: fc.integer({ min: 1, max: LIMITS.logPartitionsMax }),
      replication,
      createdAtMs: whole,
    })
    .map(({ replication: rule, ...rest }) => ({ ...rest, ...rule, state: 'active' }));
  const node = fc.record(
    { nodeId: processId, incarnation: digits, zone, registeredAtMs: whole },
    { requiredKeys: ['nodeId', 'incarnation', 'registeredAtMs'] },
  );
  fc.assert(
    fc.property(log, node, (aLog, aNode) => {
      assert.deepEqual(plain(decodeMetadata(logSchema, 'k', encodeMetadata(aLog))), plain(aLog));
      assert.deepEqual(plain(decodeMetadata(nodeSchema, 'k', encodeMetadata(aNode))), plain(aNode));
    }),
  );
  const config = { formatVersion: 1, epochShards: 4 };
  assert.deepEqual(decodeMetadata(clusterConfigSchema, 'config', encodeMetadata(config)), config);
});

test('a value cut short anywhere is refused, naming its key', () => {
  fc.assert(
    fc.property(partitionRecords, (value) => {
      const bytes = encodeMetadata(value);
      const step = Math.max(1, Math.floor(bytes.byteLength / 50));
      for (let length = 0; length < bytes.byteLength; length += step) {
        const error = throwsCode(
          () => decodeMetadata(partitionRecordSchema, 'p.1', bytes.subarray(0, length)),
          'corrupt',
        );
        assert.equal(error.fields.key, 'p.1');
      }
    }),
    { numRuns: 20 },
  );
});

test('JSON that is no partition record is refused', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.string(),
        fc.json().map((json) => `{"fragments":[${json}]}`),
      ),
      (json) => {
        const record = resultOrError(() => decodeMetadata(partitionRecordSchema, 'p.1', utf8(json)));
        assert.ok(record instanceof PyralogError && record.code === 'corrupt');
      },
    ),
    { numRuns: 500 },
  );
});

const SLOTS = ['a', 'b', 'c'].map((nodeId) => ({ nodeId, incarnation: '0123456789abcdef' }));
function fragment(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    epoch: 1,
    nonce: 'ffffffffffffffff',
    sequencerId: 'sequencer-1',
    start: 0,
    end: 10,
    slots: SLOTS,
    replicationFactor: 3,
    writeQuorum: 2,
    strategy: 'per-record',
    seed: 1,
    scatterWidth: 8,
    durability: 'fsync',
    ...changes,
  };
}
function record(...list: Record<string, unknown>[]): Record<string, unknown> {
  return {
    partitionId: 7,
    lastEpoch: 3,
    fragments: list,
    trimPoint: 0,
    tieredOffset: 0,
    lastAppendTimeMs: 0,
    producersAt: 0,
    producers: [],
  };
}
const decode = (value: unknown): PartitionRecord => decodeMetadata(partitionRecordSchema, 'p.7', encodeMetadata(value));
const second = { epoch: 2, start: 10, end: undefined };

test('fragments follow one another without a gap, epochs ascend and only the last is open', () => {
  decode(record(fragment(), fragment(second)));
  const bad = [
    [fragment({ end: undefined }), fragment(second)],
    [fragment(), fragment({ ...second, start: 11 })],
    [fragment(), fragment({ ...second, start: 9 })],
    [fragment(), fragment({ ...second, epoch: 1 })],
    [fragment({ epoch: 3 }), fragment(second)],
    [fragment({ end: -1 })],
    [fragment({ start: 5, end: 4 })],
    [fragment({ epoch: 4 })],
  ];
  for (const list of bad) throwsCode(() => decode(record(...list)), 'corrupt');
});

test('a fragment without W <= RF <= slots, with a node in two slots or values out of range is refused', () => {
  const bad: Record<string, unknown>[] = [
    { writeQuorum: 4 },
    { writeQuorum: 0 },
    { replicationFactor: 4 },
    { slots: SLOTS.slice(1) },
    { slots: [] },
    { slots: [...SLOTS, SLOTS[0]] },
    { nonce: 'xyz' },
    { nonce: '0' },
    { seed: -1 },
    { seed: 2 ** 32 },
    { epoch: 2 ** 32 },
    { start: 2 ** 53 },
    { start: 0.5 },
    { strategy: 'home' },
    { scatterWidth: LIMITS.scatterWidthMax + 1 },
    { sequencerId: 'a.b' },
  ];
  for (const change of bad) throwsCode(() => decode(record(fragment(change))), 'corrupt');
});

test('the open fragment, the end and the fragment of an offset are found', () => {
  const open = decode(record(fragment(), fragment(second)));
  assert.equal(openFragment(open), open.fragments[1]);
  const at = (value: number): number | undefined => fragmentAt(open.fragments, value as Offset)?.epoch;
  assert.deepEqual([0, 9, 10, 1_000_000].map(at), [1, 1, 2, 2]);
  const closed = decode(record(fragment()));
  assert.equal(openFragment(closed), undefined);
  assert.equal(closedEnd(closed), 10);
  assert.equal(fragmentAt(closed.fragments, 10 as Offset), undefined);
  const empty = decode({ ...record(), trimPoint: 5 });
  assert.equal(closedEnd(empty), 5);
  assert.equal(openFragment(empty), undefined);
});

test('the partitions of a log are consecutive, and every key is one that JetStream allows', () => {
  const log = { firstPartitionId: 5, partitionCount: 3 } as LogConfig;
  assert.deepEqual(partitionIdsOf(log), [5, 6, 7]);
  const allowed = /^[-/_=.a-zA-Z0-9]+$/;
  const keys = [
    CLUSTER_KEYS.config,
    CLUSTER_KEYS.partitionIds,
    CLUSTER_KEYS.log({ namespace: 'Team_1', name: 'orders.v2' }),
    CLUSTER_KEYS.node('storage-node-1' as StorageNodeId),
    partitionKey(4_294_967_295 as PartitionId),
  ];
  for (const key of keys) assert.match(key, allowed);
  assert.ok(keys[2]?.startsWith(CLUSTER_KEYS.logPrefix) && keys[3]?.startsWith(CLUSTER_KEYS.nodePrefix));
});

test('every partition has one shard of those there are', () => {
  const buckets = new Buckets('test');
  const config = { formatVersion: 1 as const, epochShards: 4 };
  const shards = new Set(Array.from({ length: 20 }, (_, id) => buckets.epochsOf(id as PartitionId, config)));
  assert.deepEqual(
    [...shards].sort(),
    [0, 1, 2, 3].map((shard) => buckets.epochs(shard)),
  );
  for (const bucket of [buckets.cluster, ...shards]) assert.match(bucket, /^[a-zA-Z0-9_-]+$/);
});
