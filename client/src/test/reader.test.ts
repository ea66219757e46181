import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CopysetTable, checkFrame, crc32, type Nonce, PyralogError, stampFrame } from '@pyralog/shared/core';
import type { ReaderNotice } from '../core/index.ts';
import { FakeCluster, LOG } from './support/fake-cluster.ts';
import type { FakeStorageNode } from './support/fake-storage-node.ts';
import { fill, isSequence, take, valueIn } from './support/fill.ts';
import type { Sent } from './support/in-process-network.ts';

const isReadMessage = (sent: Sent): boolean => sent.from.startsWith('n-') && sent.subject.startsWith('_INBOX');

/** The nodes of the copyset of the batch at `offset`, in its order. */
function holders(cluster: FakeCluster, offset: number, partition = 0): FakeStorageNode[] {
  const { partitionId, fragments } = cluster.partition(partition);
  const fragment = fragments.find(({ start, end }) => offset >= start && (end === undefined || offset < end));
  assert.ok(fragment);
  const table = new CopysetTable(fragment);
  const ids = table.nodeIds(table.copyset(partitionId, offset as never));
  return ids.map((id) => {
    const node = cluster.nodes.find(({ nodeId }) => nodeId === id);
    assert.ok(node);
    return node;
  });
}

function noticesOf(kind: ReaderNotice['kind'], notices: readonly ReaderNotice[]): ReaderNotice[] {
  return notices.filter((notice) => notice.kind === kind);
}

test('every record is read once, in order, from its designated reader', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 300 });
  const notices: ReaderNotice[] = [];
  const { client } = cluster.client();
  const reader = client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
  assert.ok(isSequence(await take(cluster, reader), 0, 300));
  assert.deepEqual(notices, []);
  const stored = cluster.bases(0, 1).reduce((sum, base) => sum + (cluster.frame(0, 1, base)?.byteLength ?? 0), 0);
  assert.equal(
    cluster.nodes.reduce((sum, node) => sum + node.bytesServed, 0),
    stored,
  );
  assert.ok(cluster.nodes.every((node) => node.bytesServed > 0));
});

test('small credits and small messages change nothing but the number of requests', async () => {
  const cluster = new FakeCluster();
  for (const node of cluster.nodes) node.messageBytesMax = 500;
  await fill(cluster, { count: 300, recordsPerBatch: 7 });
  for (const creditBytes of [1, 2_000, 100_000]) {
    const reader = cluster.client().client.reader(LOG, { follow: false, creditBytes });
    assert.ok(isSequence(await take(cluster, reader), 0, 300));
  }
});

test('reading may start at any offset, also inside a batch', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 30, recordsPerBatch: 7 });
  for (let from = 0; from <= 31; from++) {
    const reader = cluster.client().client.reader(LOG, { follow: false, from: { offset: from } });
    assert.ok(isSequence(await take(cluster, reader), Math.min(from, 30), 30), `from ${from}`);
  }
  for (const last of [0, 1, 7, 8, 30, 99]) {
    const reader = cluster.client().client.reader(LOG, { follow: false, from: { last } });
    assert.ok(isSequence(await take(cluster, reader), Math.max(0, 30 - last), 30), `last ${last}`);
  }
});

test('a start inside a batch is found although its designated reader lost it', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 30, recordsPerBatch: 10 });
  for (const node of holders(cluster, 10).slice(0, 2)) node.lose(cluster.log.firstPartitionId, 1, 10);
  const reader = cluster.client().client.reader(LOG, { follow: false, from: { offset: 14 } });
  assert.ok(isSequence(await take(cluster, reader), 14, 30));
});

test('without following, reading ends where the partition was released at the start', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 50 });
  const reader = cluster.client().client.reader(LOG, { follow: false });
  const iterator = reader[Symbol.asyncIterator]();
  await cluster.clock.until(iterator.next());
  await fill(cluster, { count: 50, first: 50 });
  let count = 1;
  while ((await cluster.clock.until(iterator.next())).done !== true) count++;
  assert.equal(count, 50);
});

test('latest begins at the released offset', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 20 });
  const reader = cluster.client().client.reader(LOG, { from: 'latest' });
  const first = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(100);
  await fill(cluster, { count: 5, first: 20 });
  const next = await cluster.clock.until(first);
  assert.ok(next.done !== true && next.value.offset === 20);
  assert.ok(isSequence(await take(cluster, reader, 4), 21, 25));
  await reader.close();
});

test('a missing copy is read from another node, and reported once it is too old to be under way', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 100 });
  for (const offset of [3, 4, 50]) holders(cluster, offset)[0]?.lose(cluster.log.firstPartitionId, 1, offset);
  for (const [passedMs, expected] of [
    [0, 0],
    [20_000, 3],
  ] as const) {
    await cluster.clock.pass(passedMs);
    const notices: ReaderNotice[] = [];
    const reader = cluster.client().client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
    assert.ok(isSequence(await take(cluster, reader), 0, 100));
    assert.deepEqual(
      noticesOf('copy-missing', notices).map((notice) => 'offset' in notice && notice.offset),
      [3, 4, 50].slice(0, expected),
    );
  }
});

test('a node that lost everything is made up for by the others, without a request per batch', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 400 });
  const empty = cluster.nodes[1];
  assert.ok(empty);
  for (const base of cluster.bases(0, 1)) empty.lose(cluster.log.firstPartitionId, 1, base);
  const reader = cluster.client().client.reader(LOG, { follow: false });
  assert.ok(isSequence(await take(cluster, reader), 0, 400));
  assert.ok(cluster.nodes.reduce((sum, node) => sum + node.readsServed, 0) < 60);
});

test('a batch that no node has is waited for, never skipped', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 40 });
  const frame = cluster.frame(0, 1, 17);
  assert.ok(frame);
  for (const node of cluster.nodes) node.lose(cluster.log.firstPartitionId, 1, 17);
  const notices: ReaderNotice[] = [];
  const reader = cluster.client().client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
  assert.ok(isSequence(await take(cluster, reader, 17), 0, 17));
  const next = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(60_000);
  const waiting = noticesOf('waiting-for-nodes', notices);
  assert.ok(waiting.length > 3 && waiting.length < 60);
  assert.deepEqual(
    waiting[0]?.kind === 'waiting-for-nodes' && [...waiting[0].nodeIds].sort(),
    holders(cluster, 17)
      .map(({ nodeId }) => nodeId)
      .sort(),
  );
  holders(cluster, 17)[2]?.put(frame);
  const found = await cluster.clock.until(next, 10_000);
  assert.equal(found.done !== true && found.value.offset, 17);
  assert.ok(isSequence(await take(cluster, reader), 18, 40));
});

for (const way of ['absent', 'silent'] as const) {
  test(`a node that is ${way} is read around, and used again when it is back`, async () => {
    const cluster = new FakeCluster();
    await fill(cluster, { count: 200, padding: 1_000 });
    const node = cluster.nodes[2];
    assert.ok(node);
    if (way === 'absent') node.transport.disconnect();
    else cluster.network.fate = (_, to) => (to === node.nodeId ? 'lost' : 0);
    const notices: ReaderNotice[] = [];
    const reader = cluster.client().client.reader(LOG, {
      follow: false,
      creditBytes: 20_000,
      onNotice: (notice) => notices.push(notice),
    });
    const startMs = cluster.clock.monotonicMs();
    assert.ok(isSequence((await take(cluster, reader, 100)).map(strip), 0, 100));
    assert.ok(cluster.clock.monotonicMs() - startMs < 3_000);
    assert.equal(noticesOf('node-silent', notices).length, 1);
    if (way === 'absent') node.transport.reconnect();
    else cluster.network.fate = () => 0;
    await cluster.clock.pass(40_000);
    assert.equal(noticesOf('node-back', notices).length, 1);
    const servedBefore = node.bytesServed;
    assert.ok(isSequence((await take(cluster, reader)).map(strip), 100, 200));
    assert.ok(node.bytesServed > servedBefore);
  });
}

function strip<T>(record: T): T {
  return record;
}

test('with more nodes down than copies reading waits and goes on when they return', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 50 });
  for (const node of cluster.nodes) node.transport.disconnect();
  const reader = cluster.client().client.reader(LOG, { follow: false });
  const read = take(cluster, reader);
  cluster.clock.schedule(30_000, () => {
    for (const node of cluster.nodes) node.transport.reconnect();
  });
  assert.ok(isSequence(await read, 0, 50));
});

test('a lost message of a stream is not taken for a missing copy', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new FakeCluster({ seed });
    for (const node of cluster.nodes) node.messageBytesMax = 700;
    await fill(cluster, { count: 150, recordsPerBatch: 3 });
    await cluster.clock.pass(60_000);
    cluster.network.fate = (sent) => (isReadMessage(sent) && cluster.random.fraction() < 0.1 ? 'lost' : 1);
    const notices: ReaderNotice[] = [];
    const onNotice = (notice: ReaderNotice): number => notices.push(notice);
    const reader = cluster.client().client.reader(LOG, { follow: false, creditBytes: 40_000, onNotice });
    assert.ok(isSequence(await take(cluster, reader), 0, 150));
    assert.deepEqual(noticesOf('copy-missing', notices), []);
  }
});

test('lost and damaged messages of a stream cost requests, not records', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new FakeCluster({ seed });
    for (const node of cluster.nodes) node.messageBytesMax = 700;
    await fill(cluster, { count: 150, recordsPerBatch: 3 });
    cluster.network.fate = (sent) => {
      if (!isReadMessage(sent)) return cluster.random.below(3);
      const dice = cluster.random.fraction();
      if (dice < 0.1) return 'lost';
      if (dice > 0.15) return cluster.random.below(3);
      const payload = sent.payload.slice();
      const at = cluster.random.below(payload.byteLength);
      payload[at] = (payload[at] ?? 0) ^ (1 << cluster.random.below(8));
      return { delayMs: 1, payload };
    };
    const reader = cluster.client().client.reader(LOG, { follow: false, creditBytes: 20_000 });
    assert.ok(isSequence(await take(cluster, reader), 0, 150), `seed ${seed}`);
  }
});

test('a damaged copy is told by its checksum and read from another node', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 100 });
  for (const offset of [0, 30, 31, 99]) {
    holders(cluster, offset)[0]?.damage(cluster.log.firstPartitionId, 1, offset, 8 + offset);
  }
  const notices: ReaderNotice[] = [];
  const reader = cluster.client().client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
  assert.ok(isSequence(await take(cluster, reader), 0, 100));
  const reported = noticesOf('copy-corrupt', notices).map((notice) => 'offset' in notice && notice.offset);
  assert.deepEqual([...new Set(reported)], [0, 30, 31, 99]);
});

test('a copy of another activation is not taken for the batch', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 20 });
  const original = cluster.frame(0, 1, 5);
  assert.ok(original);
  const frame = original.slice();
  const header = checkFrame(frame, crc32);
  stampFrame(frame, { ...header, nonce: (header.nonce + 1n) as Nonce }, crc32);
  const [designated] = holders(cluster, 5);
  assert.ok(designated);
  designated.lose(cluster.log.firstPartitionId, 1, 5);
  designated.put(frame);
  const notices: ReaderNotice[] = [];
  const reader = cluster.client().client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
  assert.ok(isSequence(await take(cluster, reader), 0, 20));
  assert.equal(noticesOf('copy-corrupt', notices).length, 1);
});

test('a node that refuses for a while is asked again', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 100 });
  let refusals = 0;
  for (const node of cluster.nodes) {
    node.refuseRead = () => {
      refusals++;
      return refusals % 3 === 0 ? undefined : new PyralogError({ code: 'overloaded', message: 'too many reads' });
    };
  }
  const notices: ReaderNotice[] = [];
  const reader = cluster.client().client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
  assert.ok(isSequence(await take(cluster, reader), 0, 100));
  assert.deepEqual(notices, []);
});

test('offsets go on across epochs, and each record names its own', async () => {
  const cluster = new FakeCluster({ sequencers: 3 });
  for (let epoch = 0; epoch < 5; epoch++) {
    await fill(cluster, { count: 10 + epoch, first: epoch * 20, recordsPerBatch: 3 });
    cluster.closeEpoch(0);
    if (epoch === 2) {
      cluster.open(0, 0);
      cluster.closeEpoch(0);
    }
    cluster.open(0, epoch % 3);
  }
  const reader = cluster.client().client.reader(LOG, { follow: false });
  const records = await take(cluster, reader);
  assert.deepEqual(
    records.map((record) => ({ value: valueIn(record), key: undefined, epoch: record.epoch })),
    cluster.contents(0),
  );
  assert.deepEqual([...new Set(records.map(({ epoch }) => epoch))], [1, 2, 3, 5, 6]);
});

test('a partition whose owner died and has no successor is read up to what its storage nodes know to be released', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 40 });
  cluster.abandon(0);
  const notices: ReaderNotice[] = [];
  const reader = cluster.client().client.reader(LOG, { follow: false, onNotice: (notice) => notices.push(notice) });
  const records = await take(cluster, reader);
  // The last frame carries the released offset as it was before it.
  assert.ok(records.length >= 39);
  assert.ok(isSequence(records, 0, records.length));
  assert.deepEqual(notices, [{ kind: 'end-from-nodes', partition: 0, offset: records.length }]);
});

test('a partition whose owner died is read to its end once it has a new one', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 40 });
  cluster.abandon(0);
  cluster.clock.schedule(4_000, () => cluster.recover(0, 1));
  const reader = cluster.client().client.reader(LOG, { follow: false });
  assert.ok(isSequence(await take(cluster, reader), 0, 40));
});

test('an unowned partition is read to the end of its last epoch, and followed into the next', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 10 });
  cluster.closeEpoch(0);
  const once = cluster.client().client.reader(LOG, { follow: false });
  assert.ok(isSequence(await take(cluster, once), 0, 10));
  const reader = cluster.client().client.reader(LOG);
  assert.ok(isSequence(await take(cluster, reader, 10), 0, 10));
  const next = reader[Symbol.asyncIterator]().next();
  await cluster.clock.pass(5_000);
  cluster.open(0, 1);
  await fill(cluster, { count: 5, first: 10 });
  assert.equal(valueIn((await cluster.clock.until(next)).value), '10');
  assert.ok(isSequence(await take(cluster, reader, 4), 11, 15));
  await reader.close();
});

test('reading what was deleted is an error that names the trim point', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 30, recordsPerBatch: 10 });
  cluster.partition(0).trimPoint = 15;
  const refused = cluster.client().client.reader(LOG, { from: { offset: 14 } });
  await assert.rejects(take(cluster, refused), (error: unknown) => {
    assert.ok(error instanceof PyralogError);
    assert.deepEqual([error.code, error.fields.trimPoint], ['trimmed', 15]);
    return true;
  });
  const reader = cluster.client().client.reader(LOG, { follow: false });
  assert.ok(isSequence(await take(cluster, reader), 15, 30));
});

test('an unknown log and an unknown partition are errors', async () => {
  const cluster = new FakeCluster({ partitions: 2 });
  const { client } = cluster.client();
  await assert.rejects(take(cluster, client.reader('test/none')), { code: 'invalid', message: 'there is no such log' });
  await assert.rejects(take(cluster, client.reader(LOG, { partitions: [2] })), { code: 'invalid' });
});

test('partitions are merged fairly, each in its order', async () => {
  const cluster = new FakeCluster({ partitions: 5 });
  for (let partition = 0; partition < 5; partition++) await fill(cluster, { count: 40, partition });
  const reader = cluster.client().client.reader(LOG, { follow: false, creditBytes: 50_000 });
  const records = await take(cluster, reader);
  for (let partition = 0; partition < 5; partition++) {
    assert.ok(
      isSequence(
        records.filter((record) => record.partition === partition),
        0,
        40,
      ),
    );
  }
  const early = records.slice(0, 100).map(({ partition }) => partition);
  for (let partition = 0; partition < 5; partition++) {
    assert.ok(early.filter((one) => one === partition).length >= 10, 'no partition waits for another');
  }
});

test('some partitions may be read alone', async () => {
  const cluster = new FakeCluster({ partitions: 4 });
  for (let partition = 0; partition < 4; partition++) await fill(cluster, { count: 5, partition });
  const reader = cluster.client().client.reader(LOG, { follow: false, partitions: [3, 1, 3] });
  const records = await take(cluster, reader);
  assert.deepEqual([...new Set(records.map(({ partition }) => partition))].sort(), [1, 3]);
  assert.equal(records.length, 10);
});

test('a slow consumer holds back the nodes: no more is sent than the credit', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 400, padding: 1_000 });
  const creditBytes = 60_000;
  const reader = cluster.client().client.reader(LOG, { follow: false, creditBytes });
  const iterator = reader[Symbol.asyncIterator]();
  await cluster.clock.until(iterator.next());
  await cluster.clock.pass(60_000);
  const sent = cluster.nodes.reduce((sum, node) => sum + node.bytesServed, 0);
  assert.ok(sent <= creditBytes + 4 * 1_200, `${sent} bytes were sent`);
  assert.ok(isSequence(await take(cluster, reader), 1, 400));
});

test('batches come as they were stored, without what lies before the start', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 30, recordsPerBatch: 10 });
  const reader = cluster.client().client.reader(LOG, { follow: false, from: { offset: 5 } });
  const sizes: [number, number][] = [];
  const batches = reader.batches();
  for (;;) {
    const next = await cluster.clock.until(batches.next());
    if (next.done === true) break;
    sizes.push([next.value.baseOffset, next.value.records.length]);
  }
  assert.deepEqual(sizes, [
    [5, 5],
    [10, 10],
    [20, 10],
  ]);
});

test('leaving the loop, closing, and aborting all leave nothing behind', async () => {
  for (const way of ['return', 'close', 'abort'] as const) {
    for (const afterMs of [0, 1, 50, 5_000]) {
      const cluster = new FakeCluster({ partitions: 2 });
      await fill(cluster, { count: 10, partition: 1 });
      cluster.network.fate = () => 1;
      await cluster.clock.pass(30_000);
      const { client, transport } = cluster.client();
      const abort = new AbortController();
      const reader = client.reader(LOG, { signal: abort.signal });
      const iterator = reader[Symbol.asyncIterator]();
      const pending: Promise<unknown>[] = [];
      for (let count = 0; count < 15; count++) pending.push(iterator.next());
      await cluster.clock.pass(afterMs);
      if (way === 'return') await cluster.clock.until(Promise.resolve(iterator.return?.()));
      else if (way === 'close') await reader.close();
      else abort.abort();
      const ended = await cluster.clock.until(Promise.all(pending), 1);
      assert.ok(ended.some((next) => (next as { done?: boolean }).done === true));
      assert.equal((await iterator.next()).done, true);
      // Requests that were sent end at their timeout.
      await cluster.clock.pass(11_000);
      assert.equal(cluster.network.subscriptionsOf(transport), 0, `${way} after ${afterMs} ms`);
      assert.equal(cluster.clock.pending, 0, `${way} after ${afterMs} ms`);
      await cluster.clock.until(client.close());
    }
  }
});

test('calls of next that overlap are answered in order', async () => {
  const cluster = new FakeCluster();
  await fill(cluster, { count: 60, recordsPerBatch: 7 });
  const reader = cluster.client().client.reader(LOG, { follow: false });
  const iterator = reader[Symbol.asyncIterator]();
  const results = await cluster.clock.until(Promise.all(Array.from({ length: 61 }, () => iterator.next())));
  assert.deepEqual(
    results.map((next) => (next.done === true ? 'end' : next.value.offset)),
    [...Array.from({ length: 60 }, (_, offset) => offset), 'end'],
  );
});
