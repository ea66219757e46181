import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '@pyralog/shared/core';
import fc from 'fast-check';
import type { ReaderNotice } from '../core/index.ts';
import { FakeCluster, LOG } from './support/fake-cluster.ts';
import { fill, isSequence, take, valueIn } from './support/fill.ts';
import type { Sent } from './support/in-process-network.ts';

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));
const isStore = (sent: Sent): boolean => sent.subject.includes('.store.');
const isRelease = (sent: Sent): boolean => sent.subject.includes('.release.');

test('the tail delivers what is released, without touching a storage node', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const reader = client.reader(LOG);
  const first = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(1_000);
  const served = cluster.nodes.reduce((sum, node) => sum + node.readsServed, 0);
  await fill(cluster, { count: 100 });
  assert.equal(valueIn((await cluster.clock.until(first)).value), '0');
  assert.ok(isSequence(await take(cluster, reader, 99), 1, 100));
  assert.equal(
    cluster.nodes.reduce((sum, node) => sum + node.readsServed, 0),
    served,
  );
  await reader.close();
});

test('nothing is delivered before it is released', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const reader = client.reader(LOG);
  const next = reader[Symbol.asyncIterator]().next();
  let isRead = false;
  void next.then(() => {
    isRead = true;
  });
  await cluster.clock.pass(100);
  cluster.network.fate = (sent) => (sent.subject.includes('.ack.') ? 'lost' : 0);
  const appended = client.producer(LOG).append({ value: 'v' });
  await cluster.clock.pass(10_000);
  assert.equal(isRead, false);
  cluster.network.fate = () => 0;
  await cluster.clock.until(Promise.all([appended, next]));
  await reader.close();
});

test('a lost release message delays a record, not for ever', async () => {
  const cluster = new FakeCluster();
  for (const sequencer of cluster.sequencers) sequencer.publishesReleases = false;
  const reader = cluster.client().client.reader(LOG);
  const next = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(1_000);
  await fill(cluster, { count: 1 });
  const startMs = cluster.clock.monotonicMs();
  await cluster.clock.until(next);
  assert.ok(cluster.clock.monotonicMs() - startMs < 1_500);
  await reader.close();
});

test('the end of an epoch releases what the tail holds of it', async () => {
  const cluster = new FakeCluster();
  for (const sequencer of cluster.sequencers) sequencer.publishesReleases = false;
  const reader = cluster.client().client.reader(LOG);
  const next = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(1_000);
  await fill(cluster, { count: 1 });
  const startMs = cluster.clock.monotonicMs();
  cluster.closeEpoch(0);
  await cluster.clock.until(next);
  assert.ok(cluster.clock.monotonicMs() - startMs < 200);
  await reader.close();
});

test('a record whose every message was lost is found by asking the owner', async () => {
  const cluster = new FakeCluster();
  const { client, transport } = cluster.client();
  const reader = client.reader(LOG);
  const next = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(1_000);
  cluster.network.fate = (sent, to) => (to === transport.name && (isStore(sent) || isRelease(sent)) ? 'lost' : 0);
  await fill(cluster, { count: 1 });
  const startMs = cluster.clock.monotonicMs();
  await cluster.clock.until(next);
  assert.ok(cluster.clock.monotonicMs() - startMs < 16_000);
  await reader.close();
});

test('a reader whose connection was lost reads on after it is back', async () => {
  const cluster = new FakeCluster();
  const { client, transport } = cluster.client();
  const reader = client.reader(LOG);
  await fill(cluster, { count: 10 });
  assert.ok(isSequence(await take(cluster, reader, 10), 0, 10));
  transport.disconnect();
  await fill(cluster, { count: 10, first: 10 });
  await cluster.clock.pass(2_000);
  transport.reconnect();
  const startMs = cluster.clock.monotonicMs();
  assert.ok(isSequence(await take(cluster, reader, 10), 10, 20));
  assert.ok(cluster.clock.monotonicMs() - startMs < 4_000);
  await reader.close();
});

test('a consumer that stalls leaves the tail at its bound and catches up afterwards', async () => {
  const cluster = new FakeCluster();
  const { client, transport } = cluster.client();
  const notices: ReaderNotice[] = [];
  const reader = client.reader(LOG, { creditBytes: 200_000, onNotice: (notice) => notices.push(notice) });
  await fill(cluster, { count: 1, padding: 100 });
  assert.ok(isSequence(await take(cluster, reader, 1), 0, 1));
  await cluster.clock.pass(1_000);
  const subscribed = cluster.network.subscriptionsOf(transport);
  const padding = 400_000;
  const count = Math.ceil((2 * LIMITS.readerTailBytesMax) / padding);
  await fill(cluster, { count, first: 1, padding });
  await cluster.clock.pass(1_000);
  assert.equal(cluster.network.subscriptionsOf(transport), subscribed - 2, 'it no longer listens');
  assert.ok(isSequence(await take(cluster, reader, count), 1, count + 1));
  assert.equal(notices.filter(({ kind }) => kind === 'tail-left').length, 1);
  await fill(cluster, { count: 3, first: count + 1 });
  assert.ok(isSequence(await take(cluster, reader, 3), count + 1, count + 4));
  await reader.close();
});

test('a reader follows its partition through epochs and owners', async () => {
  const cluster = new FakeCluster({ sequencers: 3 });
  cluster.network.fate = () => 1;
  const { client } = cluster.client();
  const reader = client.reader(LOG);
  const iterator = reader[Symbol.asyncIterator]();
  const producer = cluster.client().client.producer(LOG, { lingerMs: 0 });
  for (let round = 0; round < 6; round++) {
    for (let record = 0; record < 5; record++)
      await cluster.clock.until(producer.append({ value: `${round}/${record}` }));
    if (round % 2 === 0) {
      const next = await cluster.clock.until(iterator.next());
      assert.ok(next.done !== true);
    }
    cluster.closeEpoch(0);
    await cluster.clock.pass(100);
    cluster.open(0, round % 3);
  }
  const records = [];
  for (let count = 3; count < 30; count++) records.push((await cluster.clock.until(iterator.next())).value);
  assert.deepEqual(
    records.map(valueIn),
    cluster
      .contents(0)
      .map(({ value }) => value)
      .slice(3),
  );
  await reader.close();
});

test('batches of an epoch that were never released are not delivered when it is closed before them', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const reader = client.reader(LOG);
  await fill(cluster, { count: 3 });
  assert.ok(isSequence(await take(cluster, reader, 3), 0, 3));
  cluster.network.fate = (sent) => (sent.subject.includes('.ack.') ? 'lost' : 0);
  const lost = client.producer(LOG, { deliveryTimeoutMs: 500 }).append({ value: 'never acknowledged' });
  await cluster.clock.until(lost.catch(() => undefined));
  cluster.network.fate = () => 0;
  cluster.closeEpoch(0);
  cluster.open(0, 1);
  await fill(cluster, { count: 2, first: 3 });
  assert.ok(isSequence(await take(cluster, reader, 2), 3, 5));
  await reader.close();
});

test('an offset ahead of the end is waited for', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 10, recordsPerBatch: 5 });
  const reader = cluster.client().client.reader(LOG, { from: { offset: 17 } });
  const next = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(10_000);
  await fill(cluster, { count: 20, first: 10, recordsPerBatch: 5 });
  const found = await cluster.clock.until(next);
  assert.equal(found.done !== true && found.value.offset, 17);
  assert.ok(isSequence(await take(cluster, reader, 12), 18, 30));
  await reader.close();
});

test('under any schedule of delays and losses a reader gets every record once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.integer({ min: 1, max: 1_000_000 }),
        lossPercent: fc.integer({ min: 0, max: 25 }),
        delayMsMax: fc.integer({ min: 1, max: 60 }),
        creditBytes: fc.constantFrom(1, 3_000, 100_000),
        before: fc.integer({ min: 0, max: 40 }),
        epochs: fc.integer({ min: 0, max: 3 }),
        from: fc.integer({ min: 0, max: 20 }),
      }),
      async ({ seed, lossPercent, delayMsMax, creditBytes, before, epochs, from }) => {
        const cluster = new FakeCluster({ seed, sequencers: 3, partitions: 2 });
        const { random, clock } = cluster;
        if (before > 0) await fill(cluster, { count: before, recordsPerBatch: 3 });
        cluster.network.fate = (sent, to) => {
          const isReaders = to === 'client-99' || sent.from === 'client-99';
          return isReaders && random.below(100) < lossPercent ? 'lost' : random.below(delayMsMax);
        };
        const transport = cluster.network.connect('client-99');
        const { client } = cluster.client(transport);
        const reader = client.reader(LOG, { partitions: [0], creditBytes, from: { offset: from } });
        const iterator = reader[Symbol.asyncIterator]();
        const producer = cluster.client().client.producer(LOG, { lingerMs: 2, batchBytes: 150 });
        const appended: Promise<unknown>[] = [];
        let handovers = epochs;
        for (const value of numbers(60)) {
          appended.push(producer.append({ value: `p${value}`, partition: 0 }));
          if (random.fraction() < 0.3) await clock.pass(random.below(300));
          if (handovers > 0 && random.fraction() < 0.05) {
            handovers--;
            await clock.until(Promise.all(appended));
            cluster.closeEpoch(0);
            await clock.pass(random.below(500));
            cluster.open(0, random.below(3));
          }
        }
        await clock.until(Promise.all(appended));
        const expected = cluster.contents(0).slice(from);
        const read: string[] = [];
        while (read.length < expected.length) {
          const next = await clock.until(iterator.next(), 120_000);
          assert.ok(next.done !== true);
          assert.equal(next.value.offset, from + read.length);
          read.push(valueIn(next.value));
        }
        assert.deepEqual(
          read,
          expected.map(({ value }) => value),
        );
        await clock.until(Promise.all([client.close(), producer.close()]));
      },
    ),
    { numRuns: 60, seed: 20_260_101, includeErrorInReport: true },
  );
});
