/** Reads: who sends what, how much of it, and what becomes of requests and copies that are no good. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CopysetTable,
  checkFrame,
  decodeReadMessage,
  decodeReply,
  encodeMessage,
  encodeMetadata,
  LIMITS,
  type LogConfig,
  type Offset,
  type PartitionId,
  PyralogError,
  type ReadEnd,
  readEndSchema,
  type StorageNodeId,
} from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import fc from 'fast-check';
import { LogDirectory } from '../core/log-directory.ts';
import { FrameReader } from '../core/read/frame-reader.ts';
import { ReadRequests } from '../core/read/read-requests.ts';
import { batch } from './support/frames.ts';
import { looseClock, settle } from './support/loose-clock.ts';
import { MemoryDisk } from './support/memory-disk.ts';
import { MemoryIndex } from './support/memory-index.ts';
import { NODE, SUBJECTS, TestStore, type TestStoreOptions } from './support/test-store.ts';

const NODES = ['n1', 'n2', 'n3', 'n4'];
const PLACEMENT = {
  strategy: 'per-record',
  seed: 7,
  scatterWidth: 4,
  replicationFactor: 3,
  slots: NODES.map((nodeId) => ({ nodeId })),
} as const;

/** A copyset of which this node alone is a member, so that it is asked for everything. */
const ALONE = { ...PLACEMENT, replicationFactor: 1, slots: [{ nodeId: NODE }] };

interface Answer {
  readonly offsets: number[];
  readonly messages: number[];
  readonly end: ReadEnd | PyralogError;
}

class TestReader {
  readonly store: TestStore;
  readonly requests: ReadRequests;
  readonly fatal: unknown[] = [];

  private constructor(store: TestStore, nodeId: string) {
    this.store = store;
    const { directory, gates, segments, recent } = store.store;
    const { counters, warnings, transport } = store;
    const logs = new LogDirectory({ debug() {}, info() {}, warn() {}, error() {} });
    const log: Partial<Record<keyof LogConfig, unknown>> = {
      namespace: 'ns',
      name: 'log',
      firstPartitionId: 1,
      partitionCount: 4,
      replicationFactor: 3,
      writeQuorum: 2,
      strategy: 'per-record',
      seed: 7,
      scatterWidth: 4,
      durability: 'fsync',
      createdAtMs: 0,
      state: 'active',
    };
    logs.apply({ kind: 'put', entry: { key: 'log.ns.log', value: encodeMetadata(log), revision: 1 } });
    this.requests = new ReadRequests({
      nodeId: nodeId as StorageNodeId,
      directory,
      gates,
      frames: new FrameReader({ segments, recent, directory, counters, warnings, crc32: nativeCrc32 }),
      transport,
      counters,
      clock: looseClock,
      logs,
      subjects: SUBJECTS,
      warnings,
      onFatal: (reason) => this.fatal.push(reason),
    });
  }

  static async open(options: TestStoreOptions = {}, nodeId: string = NODE): Promise<TestReader> {
    return new TestReader(await TestStore.open(options), nodeId);
  }

  static on(store: TestStore, nodeId: string): TestReader {
    return new TestReader(store, nodeId);
  }

  /** Sends a request and waits for its whole answer. */
  async read(request: Record<string, unknown> | Uint8Array, namespace = 'ns'): Promise<Answer> {
    const payload = request instanceof Uint8Array ? request : encodeMessage({ ...DEFAULT_REQUEST, ...request });
    const { transport } = this.store;
    const inbox = transport.createInbox();
    const offsets: number[] = [];
    const messages: number[] = [];
    const end = await new Promise<ReadEnd | PyralogError>((resolve, reject) => {
      transport.subscribe(inbox, (message) => {
        const part = decodeReadMessage(message.payload);
        assert.equal(part.sequence, messages.length);
        messages.push(message.payload.byteLength);
        if (part.kind === 'end') resolve(endOf(part.bytes));
        else offsets.push(...baseOffsets(part.bytes));
      });
      this.requests.receive({ subject: SUBJECTS.read(namespace, NODE), payload, replyTo: inbox });
      setTimeout(() => reject(new Error('no answer in time')), 10_000).unref();
    });
    return { offsets, messages, end };
  }
}

const DEFAULT_REQUEST = {
  partitionId: 1,
  epoch: 1,
  from: 0,
  until: 1_000_000,
  placement: ALONE,
  exclude: [],
  credit: LIMITS.readCreditBytesMax,
};

function endOf(bytes: Uint8Array): ReadEnd | PyralogError {
  try {
    return decodeReply(readEndSchema, bytes);
  } catch (reason) {
    if (reason instanceof PyralogError) return reason;
    throw reason;
  }
}

function baseOffsets(bytes: Uint8Array): number[] {
  const offsets: number[] = [];
  for (let position = 0; position < bytes.byteLength; ) {
    const header = checkFrame(bytes, nativeCrc32, position);
    offsets.push(header.baseOffset);
    position += header.frameLength;
  }
  return offsets;
}

function errorCode(answer: Answer): string | undefined {
  return answer.end instanceof PyralogError ? answer.end.code : undefined;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

for (const [where, recentBytesMax] of [
  ['memory', 1 << 24],
  ['the disk', 0],
] as const) {
  test(`every batch of the range comes once and in order, from ${where}`, async () => {
    const reader = await TestReader.open({ recentBytesMax, limits: { segmentBytes: 20_000, commitBytesMax: 4_000 } });
    for (let base = 0; base < 600; base++) {
      reader.store.receive(batch({ baseOffset: base, releasedOffset: base, bodyBytes: 10 + ((base * 37) % 300) }));
      reader.store.receive(batch({ partitionId: 2, baseOffset: base }));
      if (base % 10 === 9) await reader.store.store.writer.flush();
    }
    const answer = await reader.read({});
    assert.deepEqual(answer.offsets, upTo(600));
    assert.deepEqual(answer.end, { next: 1_000_000, releasedOffset: 599 });
    const part = await reader.read({ from: 100, until: 250 });
    assert.deepEqual(part.offsets, upTo(250).slice(100));
    assert.deepEqual(part.end, { next: 250, releasedOffset: 599 });
  });
}

test('a batch that only overlaps the range is sent whole', async () => {
  const reader = await TestReader.open();
  await reader.store.save(...[0, 10, 20].map((baseOffset) => batch({ baseOffset, recordCount: 10 })));
  assert.deepEqual((await reader.read({ from: 5, until: 15 })).offsets, [0, 10]);
});

test('an epoch, a partition or a range without batches is an empty answer', async () => {
  const reader = await TestReader.open();
  await reader.store.save(batch());
  for (const request of [{ epoch: 2 }, { partitionId: 3 }, { from: 1 }, { from: 5, until: 5 }, { from: 9, until: 4 }]) {
    const answer = await reader.read(request);
    assert.deepEqual(answer.offsets, []);
    assert.ok(!(answer.end instanceof PyralogError));
  }
});

test('the nodes that a reader asks send every batch exactly once between them, whichever it excludes', async () => {
  const store = await TestStore.open();
  await store.save(...upTo(300).map((baseOffset) => batch({ baseOffset })));
  const readers = NODES.map((nodeId) => TestReader.on(store, nodeId));
  for (const exclude of [[], ['n2'], ['n1', 'n3']]) {
    const asked = readers.filter((_, index) => !exclude.includes(NODES[index] ?? ''));
    const answers = await Promise.all(asked.map((reader) => reader.read({ placement: PLACEMENT, exclude })));
    const offsets = answers.flatMap((answer) => answer.offsets);
    assert.deepEqual(
      offsets.sort((a, b) => a - b),
      upTo(300),
    );
  }
});

test('a node sends what it is the designated reader of', async () => {
  const reader = await TestReader.open();
  await reader.store.save(...upTo(100).map((baseOffset) => batch({ baseOffset })));
  const answer = await reader.read({ placement: PLACEMENT });
  const table = new CopysetTable({ ...PLACEMENT, slots: NODES.map((nodeId) => ({ nodeId: nodeId as StorageNodeId })) });
  const mine = upTo(100).filter((base) => table.designatedReader(1 as PartitionId, base as Offset, new Set()) === NODE);
  assert.deepEqual(answer.offsets, mine);
  assert.ok(mine.length > 0 && mine.length < 60);
});

test('the stream ends when the credit is used up, and goes on where it says', async () => {
  const reader = await TestReader.open();
  await reader.store.save(...upTo(50).map((baseOffset) => batch({ baseOffset })));
  const seen: number[] = [];
  let from = 0;
  for (let requests = 0; from < 50; requests++) {
    assert.ok(requests < 30);
    const { offsets, end } = await reader.read({ from, until: 50, credit: 300 });
    assert.ok(!(end instanceof PyralogError));
    assert.ok(offsets.length <= 3);
    seen.push(...offsets);
    from = end.next;
  }
  assert.deepEqual(seen, upTo(50));
});

test('with the smallest credit there is still one batch', async () => {
  const reader = await TestReader.open();
  await reader.store.save(batch({ bodyBytes: 5_000 }), batch({ baseOffset: 1 }));
  const answer = await reader.read({ credit: 1 });
  assert.deepEqual(answer.offsets, [0]);
  assert.deepEqual(answer.end, { next: 1, releasedOffset: 0 });
});

test('messages keep to their size, but for a batch that is larger by itself', async () => {
  const reader = await TestReader.open({ limits: { commitBytesMax: 1 << 22, segmentBytes: 1 << 24 } });
  const sizes = upTo(40).map((index) => (index === 20 ? 600_000 : 30_000));
  await reader.store.save(...sizes.map((bodyBytes, baseOffset) => batch({ baseOffset, bodyBytes })));
  const answer = await reader.read({});
  assert.deepEqual(answer.offsets, upTo(40));
  assert.equal(answer.messages.filter((size) => size > LIMITS.readMessageBytesMax).length, 1);
  reader.store.transport.payloadBytesMax = 64 * 1024;
  const small = await reader.read({ until: 20 });
  assert.deepEqual(small.offsets, upTo(20));
  assert.ok(Math.max(...small.messages) <= 64 * 1024);
  const tooLarge = await reader.read({ from: 18, until: 25 });
  assert.equal(errorCode(tooLarge), 'invalid');
});

test('a damaged copy is left out, as if it were missing, and counted', async () => {
  const disk = new MemoryDisk();
  const reader = await TestReader.open({ disk });
  await reader.store.save(...upTo(10).map((baseOffset) => batch({ baseOffset })));
  const content = disk.files.get(1)?.content ?? new Uint8Array(0);
  // In the body of batch 4, then in the header of batch 7.
  for (const position of [64 + 96 + 4 * 136 + 120, 64 + 96 + 7 * 136 + 30])
    content[position] = (content[position] ?? 0) ^ 1;
  const answer = await reader.read({});
  assert.deepEqual(answer.offsets, [0, 1, 2, 3, 5, 6, 8, 9]);
  assert.equal(reader.store.counters.damagedBatches, 2);
  assert.deepEqual(answer.end, { next: 1_000_000, releasedOffset: 0 });
});

test('an index that names another batch is not believed, and not trusted again', async () => {
  const index = new MemoryIndex();
  const reader = await TestReader.open({ index });
  await reader.store.save(batch(), batch({ baseOffset: 1 }));
  await reader.store.store.directory.flush();
  const [first] = index.range({
    partitionId: 1 as PartitionId,
    epoch: 1 as never,
    from: 0 as Offset,
    until: 1 as Offset,
    limit: 1,
  });
  assert.ok(first !== undefined);
  await index.commit({
    batches: [{ ...first, baseOffset: 1 as Offset }],
    partitions: [],
    checkpoint: { segmentId: 1, position: 64 },
  });
  assert.deepEqual((await reader.read({})).offsets, [0]);
  assert.ok(index.distrusted);
});

test('a segment that is gone looks like missing copies', async () => {
  const disk = new MemoryDisk();
  const store = await TestStore.open({ disk, limits: { segmentBytes: 500 } });
  for (const baseOffset of upTo(9)) await store.save(batch({ baseOffset }));
  await store.store.segments.close();
  disk.files.delete(2);
  const answer = await TestReader.on(store, NODE).read({});
  assert.ok(answer.offsets.length > 0 && answer.offsets.length < 9);
  assert.equal(store.counters.damagedBatches, 9 - answer.offsets.length);
});

test('a partition is read within its own namespace only', async () => {
  const reader = await TestReader.open();
  await reader.store.save(batch());
  assert.equal(errorCode(await reader.read({}, 'other')), 'unauthorized');
  const unknown = await reader.read({ partitionId: 99 });
  assert.equal(errorCode(unknown), 'unavailable');
  assert.ok(unknown.end instanceof PyralogError && unknown.end.retry === 'refresh');
});

test('a request that is not well formed is refused by the name of the field', async () => {
  const reader = await TestReader.open();
  const bad: [string, unknown][] = [
    ['partitionId', -1],
    ['epoch', 1.5],
    ['from', 'x'],
    ['until', 2 ** 60],
    ['credit', 0],
    ['credit', LIMITS.readCreditBytesMax + 1],
    ['exclude', [5]],
    ['placement', { ...ALONE, slots: [] }],
    ['placement', { ...ALONE, replicationFactor: 2 }],
    ['placement', { ...ALONE, scatterWidth: 1e9 }],
  ];
  for (const [field, value] of bad) {
    const { end } = await reader.read({ [field]: value });
    assert.ok(end instanceof PyralogError && end.code === 'invalid', field);
    assert.ok(String(end.fields.field).startsWith(field), `${field}: ${String(end.fields.field)}`);
  }
});

test('no bytes that are sent as a request stop the node or go without an answer', async () => {
  const reader = await TestReader.open();
  await reader.store.save(batch());
  const json = fc.json({ maxDepth: 4 }).map((text) => new TextEncoder().encode(text));
  const mutated = fc
    .dictionary(fc.constantFrom(...Object.keys(DEFAULT_REQUEST)), fc.jsonValue())
    .map((changes) => encodeMessage({ ...DEFAULT_REQUEST, ...changes }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), json, mutated), async (payload) => {
      await reader.read(payload);
    }),
    { numRuns: 500 },
  );
  assert.deepEqual(reader.fatal, []);
  assert.deepEqual((await reader.read({})).offsets, [0]);
});

test('an answer never goes to the subjects of the cluster or of the server', async () => {
  const reader = await TestReader.open();
  await reader.store.save(batch());
  const before = reader.store.transport.published.length;
  for (const replyTo of [
    'pyra.test.ack.s1',
    '$JS.API.STREAM.DELETE.x',
    '$KV.pyra_test_cluster.log.ns.log',
    undefined,
  ]) {
    reader.requests.receive({ subject: SUBJECTS.read('ns', NODE), payload: encodeMessage(DEFAULT_REQUEST), replyTo });
  }
  await settle();
  assert.equal(reader.store.transport.published.length, before);
});

test('beyond their bound reads are refused as overloaded, and all others are answered', async () => {
  const reader = await TestReader.open();
  await reader.store.save(...upTo(20).map((baseOffset) => batch({ baseOffset })));
  const total = LIMITS.readsInFlightMax + LIMITS.readsQueuedMax + 50;
  const answers = await Promise.all(upTo(total).map(() => reader.read({})));
  assert.equal(answers.filter((answer) => errorCode(answer) === 'overloaded').length, 50);
  assert.equal(answers.filter((answer) => answer.offsets.length === 20).length, total - 50);
});

test('reads that run when the node stops are ended with an error', async () => {
  const reader = await TestReader.open({ limits: { commitBytesMax: 1 << 22, segmentBytes: 1 << 24 } });
  await reader.store.save(...upTo(100).map((baseOffset) => batch({ baseOffset, bodyBytes: 50_000 })));
  const answers = upTo(70).map(() => reader.read({}));
  await settle(3);
  await reader.requests.close();
  const codes = (await Promise.all(answers)).map(errorCode);
  assert.ok(
    codes.every((code) => code === 'unavailable'),
    codes.join(),
  );
});

test('stores go on while large reads are served', async () => {
  const reader = await TestReader.open({ limits: { commitBytesMax: 1 << 22, segmentBytes: 1 << 24 } });
  await reader.store.save(...upTo(100).map((baseOffset) => batch({ baseOffset, bodyBytes: 50_000 })));
  let finished = 0;
  const answers = upTo(40).map(() => reader.read({}).then(() => finished++));
  await settle(2);
  reader.store.receive(batch({ partitionId: 2 }));
  while (!reader.store.transport.verdicts.includes('2:0=stored')) await settle(1);
  assert.ok(finished < 20, `${finished} reads finished before one store`);
  await Promise.all(answers);
});
