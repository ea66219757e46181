import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS, PyralogError, partitionOfKey, utf8 } from '@pyralog/shared/core';
import type { BatchAck } from '../core/index.ts';
import { FakeCluster, LOG } from './support/fake-cluster.ts';
import type { Sent } from './support/in-process-network.ts';

const overloaded = (): PyralogError => new PyralogError({ code: 'overloaded', message: 'window is full' });
const isAppend = (sent: Sent): boolean => sent.subject.includes('.append.');
const values = (cluster: FakeCluster, partition = 0): string[] => cluster.contents(partition).map(({ value }) => value);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

test('an acknowledged record is where its acknowledgement says', async () => {
  const cluster = new FakeCluster({ partitions: 4 });
  const { client } = cluster.client();
  const producer = client.producer(LOG);
  const appended = numbers(200).map((value) => producer.append({ key: `k${value}`, value }));
  const results = await cluster.clock.until(Promise.all(appended));
  for (const [index, { partition, offset, epoch }] of results.entries()) {
    assert.equal(partition, partitionOfKey(utf8(`k${index}`), 4));
    assert.deepEqual(cluster.contents(partition)[offset], { value: String(index), key: `k${index}`, epoch });
  }
  await cluster.clock.until(client.close());
});

test('records without a key fill one batch after another on changing partitions', async () => {
  const cluster = new FakeCluster({ partitions: 4 });
  const { client } = cluster.client();
  const acks: BatchAck[] = [];
  const producer = client.producer(LOG, { batchBytes: 1_000, onAcknowledged: (ack) => acks.push(ack) });
  for (const value of numbers(400)) await cluster.clock.until(Promise.resolve(producer.write({ value })));
  await cluster.clock.until(producer.flush());
  assert.equal(
    acks.reduce((sum, ack) => sum + ack.count, 0),
    400,
  );
  assert.deepEqual([...new Set(acks.map((ack) => ack.partition))].sort(), [0, 1, 2, 3]);
  assert.ok(acks.filter((ack) => ack.count < 60).length <= 1, 'only the last batch is small');
});

test('a batch is cut at its bytes, at its linger, and at a timestamp that does not fit', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const acks: BatchAck[] = [];
  const producer = client.producer(LOG, { batchBytes: 2_000, lingerMs: 50, onAcknowledged: (ack) => acks.push(ack) });
  await cluster.clock.until(producer.append({ value: 'warm' }));
  acks.length = 0;
  const frames: number[] = [];
  cluster.network.onSent = (sent) => {
    if (isAppend(sent)) frames.push(sent.payload.byteLength);
  };
  for (let index = 0; index < 100; index++) void producer.write({ value: 'x'.repeat(90) });
  await cluster.clock.pass(10);
  assert.ok(frames.length >= 4, 'full batches go at once');
  assert.ok(frames.every((bytes) => bytes <= 2_000));
  const before = frames.length;
  await cluster.clock.until(producer.flush());
  assert.equal(frames.length, before + 1, 'the rest goes when it is due');
  frames.length = 0;
  const startMs = cluster.clock.monotonicMs();
  await cluster.clock.until(producer.append({ value: 'late' }));
  assert.ok(cluster.clock.monotonicMs() - startMs >= 50);
  frames.length = 0;
  void producer.write({ value: 'a', timestamp: 0 });
  void producer.write({ value: 'b', timestamp: 2 ** 31 - 1 });
  void producer.write({ value: 'c', timestamp: 2 ** 31 });
  await cluster.clock.until(producer.flush());
  assert.equal(frames.length, 2);
});

test('a record over the limit is refused with its size and the limit, and hurts no other', async () => {
  const cluster = new FakeCluster({ payloadBytesMax: 8 * 1024 * 1024 });
  const { client } = cluster.client();
  const producer = client.producer(LOG);
  const good = producer.append({ value: 'good' });
  const tooLarge = producer.append({ value: new Uint8Array(LIMITS.recordBytesMax) });
  await assert.rejects(tooLarge, (error: unknown) => {
    assert.ok(error instanceof PyralogError);
    assert.equal(error.code, 'invalid');
    assert.equal(error.outcome, 'not-applied');
    assert.equal(error.fields.limit, LIMITS.recordBytesMax);
    assert.ok(Number(error.fields.size) > LIMITS.recordBytesMax);
    return true;
  });
  assert.throws(() => producer.write({ value: new Uint8Array(LIMITS.recordBytesMax) }), { code: 'invalid' });
  const largest = producer.append({ value: new Uint8Array(LIMITS.recordBytesMax - 20) });
  await cluster.clock.until(Promise.all([good, largest]));
});

test('with a small max_payload batches and records stay within it', async () => {
  const cluster = new FakeCluster({ payloadBytesMax: 64 * 1024 });
  const { client } = cluster.client();
  const producer = client.producer(LOG);
  for (const value of numbers(3_000)) void producer.write({ value: value.padEnd(100) });
  await assert.rejects(producer.append({ value: new Uint8Array(64 * 1024) }), { code: 'invalid' });
  await cluster.clock.until(producer.append({ value: new Uint8Array(60 * 1024) }));
  await cluster.clock.until(producer.flush());
  assert.equal(values(cluster).length, 3_001);
});

test('malformed records are refused naming the field', () => {
  const cluster = new FakeCluster({ partitions: 2 });
  const producer = cluster.client().client.producer(LOG);
  const refused = (input: unknown, field: string): void => {
    assert.throws(
      () => producer.write(input as { value: string }),
      (error: unknown) => error instanceof PyralogError && error.code === 'invalid' && error.fields.field === field,
    );
  };
  refused({ key: 7 }, 'key');
  refused({ value: null }, 'value');
  refused({ value: 'v', timestamp: -1 }, 'timestamp');
  refused({ value: 'v', timestamp: 1.5 }, 'timestamp');
  refused({ value: 'v', partition: -1 }, 'partition');
  refused({ value: 'v', headers: { name: 7 } }, 'headers');
  refused({ value: 'v', headers: Array.from({ length: 257 }, () => ['n', new Uint8Array(1)]) }, 'headers');
});

test('a partition that the log does not have is refused', async () => {
  const cluster = new FakeCluster({ partitions: 2 });
  const producer = cluster.client().client.producer(LOG);
  await assert.rejects(cluster.clock.until(producer.append({ value: 'early', partition: 2 })), { code: 'invalid' });
  await assert.rejects(cluster.clock.until(producer.append({ value: 'late', partition: 2 })), { code: 'invalid' });
  const { partition } = await cluster.clock.until(producer.append({ value: 'good', partition: 1 }));
  assert.equal(partition, 1);
});

test('an unknown log rejects every call with the reason', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const producer = client.producer('test/other');
  await assert.rejects(cluster.clock.until(producer.append({ value: 'v' })), {
    code: 'invalid',
    message: 'there is no such log',
  });
  assert.throws(() => producer.write({ value: 'v' }), { message: 'there is no such log' });
  await assert.rejects(cluster.clock.until(producer.flush()), { message: 'there is no such log' });
  await cluster.clock.until(client.close());
});

test('records keep their order under overload', async () => {
  const cluster = new FakeCluster({ partitions: 2 });
  const { client } = cluster.client();
  for (const sequencer of cluster.sequencers) {
    sequencer.refuseAppend = () => (cluster.random.fraction() < 0.4 ? overloaded() : undefined);
  }
  const producer = client.producer(LOG, { batchBytes: 300, lingerMs: 1 });
  const results = Promise.all(numbers(500).map((value) => producer.append({ value, partition: Number(value) % 2 })));
  await cluster.clock.until(results);
  assert.deepEqual(
    values(cluster, 0),
    numbers(500).filter((value) => Number(value) % 2 === 0),
  );
  assert.deepEqual(
    values(cluster, 1),
    numbers(500).filter((value) => Number(value) % 2 === 1),
  );
});

test('after a failure the first batch goes alone until it succeeds', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const sequencer = cluster.sequencers[0];
  assert.ok(sequencer);
  let isFull = false;
  let underWay = 0;
  let atOnceMax = 0;
  sequencer.refuseAppend = () => (isFull ? overloaded() : undefined);
  cluster.network.fate = () => 5;
  const { onSent } = cluster.network;
  cluster.network.onSent = (sent) => {
    onSent(sent);
    if (isAppend(sent)) {
      underWay++;
      atOnceMax = Math.max(atOnceMax, underWay);
    } else if (sent.subject.startsWith('_INBOX') && sent.from === 's-0') underWay--;
  };
  const producer = client.producer(LOG, { batchBytes: 200, lingerMs: 0 });
  await cluster.clock.until(producer.append({ value: 'first' }));
  underWay = 0;
  const more = Promise.all(numbers(1_000).map((value) => producer.append({ value })));
  await cluster.clock.pass(40);
  assert.equal(atOnceMax, 5);
  isFull = true;
  await cluster.clock.pass(100);
  atOnceMax = 0;
  await cluster.clock.pass(2_000);
  assert.equal(atOnceMax, 1);
  isFull = false;
  await cluster.clock.until(more);
  assert.equal(atOnceMax, 5);
  assert.deepEqual(values(cluster), ['first', ...numbers(1_000)]);
});

for (const lost of ['requests', 'replies', 'both'] as const) {
  test(`lost ${lost} neither lose, double nor reorder records`, async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const cluster = new FakeCluster({ seed, partitions: 2 });
      const { client } = cluster.client();
      cluster.network.fate = (sent) => {
        const isRequest = isAppend(sent);
        const isReply = sent.from.startsWith('s-') && sent.subject.startsWith('_INBOX');
        const isHit = (isRequest && lost !== 'replies') || (isReply && lost !== 'requests');
        return isHit && cluster.random.fraction() < 0.2 ? 'lost' : cluster.random.below(4);
      };
      const producer = client.producer(LOG, { batchBytes: 400, lingerMs: 1, requestTimeoutMs: 1_000 });
      const appended: Promise<{ partition: number; offset: number }>[] = [];
      for (const value of numbers(300)) {
        appended.push(producer.append({ value, partition: Number(value) % 2 }));
        if (cluster.random.fraction() < 0.1) await cluster.clock.pass(cluster.random.below(20));
      }
      const results = await cluster.clock.until(Promise.all(appended));
      for (const parity of [0, 1]) {
        assert.deepEqual(
          values(cluster, parity),
          numbers(300).filter((value) => Number(value) % 2 === parity),
          `seed ${seed}`,
        );
      }
      for (const [value, { partition, offset }] of results.entries()) {
        assert.equal(cluster.contents(partition)[offset]?.value, String(value));
      }
    }
  });
}

test('a damaged append or reply is repeated, and the log holds each record once', async () => {
  const cluster = new FakeCluster({ seed: 3 });
  const { client } = cluster.client();
  cluster.network.fate = (sent) => {
    const isReply = sent.from.startsWith('s-') && sent.subject.startsWith('_INBOX');
    if ((!isAppend(sent) && !isReply) || cluster.random.fraction() > 0.2) return 1;
    const payload = sent.payload.slice(0, Math.max(1, sent.payload.byteLength - cluster.random.below(12)));
    const at = cluster.random.below(payload.byteLength);
    payload[at] = (payload[at] ?? 0) ^ (1 << cluster.random.below(8));
    return { delayMs: 1, payload };
  };
  const producer = client.producer(LOG, { batchBytes: 300, lingerMs: 1, requestTimeoutMs: 500 });
  const appended = numbers(200).map((value) => producer.append({ value }));
  const settled = await cluster.clock.until(Promise.allSettled(appended));
  const stored = values(cluster);
  assert.equal(new Set(stored).size, stored.length, 'nothing is there twice');
  for (const [index, result] of settled.entries()) {
    if (result.status === 'fulfilled') assert.ok(stored.includes(String(index)));
  }
  assert.deepEqual(
    stored,
    [...stored].sort((a, b) => Number(a) - Number(b)),
  );
});
