import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyralogError } from '@pyralog/shared/core';
import { FakeCluster, LOG } from './support/fake-cluster.ts';
import type { Sent } from './support/in-process-network.ts';

const isAppend = (sent: Sent): boolean => sent.subject.includes('.append.');
const values = (cluster: FakeCluster, partition = 0): string[] => cluster.contents(partition).map(({ value }) => value);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

async function failure(promise: Promise<unknown>): Promise<PyralogError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof PyralogError);
    return error;
  }
  throw new Error('did not fail');
}

test('a handed over partition is followed to its new owner without a failed call', async () => {
  const cluster = new FakeCluster({ sequencers: 3 });
  const { client } = cluster.client();
  cluster.network.fate = () => 1;
  const producer = client.producer(LOG, { batchBytes: 300, lingerMs: 1 });
  const appended: Promise<unknown>[] = [];
  for (const value of numbers(200)) {
    appended.push(producer.append({ value }));
    if (Number(value) % 50 === 49) {
      await cluster.clock.until(Promise.all(appended));
      cluster.closeEpoch(0);
      appended.push(producer.append({ value: `between ${value}` }));
      await cluster.clock.pass(30);
      cluster.open(0, (Number(value) + 1) % 3);
    }
  }
  await cluster.clock.until(Promise.all(appended));
  assert.equal(values(cluster).length, 204);
  assert.equal(new Set(values(cluster)).size, 204);
  assert.ok(cluster.partition(0).fragments.length >= 4);
});

test('what an owner that is gone left unanswered goes to the next one at once', async () => {
  for (const lost of ['requests', 'answers'] as const) {
    const cluster = new FakeCluster();
    const { client } = cluster.client();
    const producer = client.producer(LOG, { lingerMs: 0, batchBytes: 150, requestTimeoutMs: 10_000 });
    await cluster.clock.until(producer.append({ value: 'first' }));
    let isCut = true;
    cluster.network.fate = (sent) =>
      isCut && (lost === 'requests' ? isAppend(sent) : isReplyToAppend(cluster, sent)) ? 'lost' : 1;
    const appended = numbers(100).map((value) => producer.append({ value }));
    await cluster.clock.pass(100);
    isCut = false;
    cluster.closeEpoch(0, false);
    await cluster.clock.pass(300);
    cluster.open(0, 1);
    await cluster.clock.until(Promise.all(appended), 1_500);
    assert.deepEqual(values(cluster), ['first', ...numbers(100)], lost);
  }
});

test('a lost connection delays records and loses none', async () => {
  const cluster = new FakeCluster();
  const { client, transport } = cluster.client();
  cluster.network.fate = () => 1;
  const producer = client.producer(LOG, { batchBytes: 300, lingerMs: 1 });
  const appended = numbers(100).map((value) => producer.append({ value }));
  await cluster.clock.pass(4);
  transport.disconnect();
  await cluster.clock.pass(3_000);
  const more = numbers(100).map((value) => producer.append({ value: `more ${value}` }));
  await cluster.clock.pass(3_000);
  transport.reconnect();
  await cluster.clock.until(Promise.all([...appended, ...more]), 3_000);
  assert.deepEqual(values(cluster), [...numbers(100), ...numbers(100).map((value) => `more ${value}`)]);
});

test('records that wait for the topology expire too, and the producer goes on', async () => {
  const cluster = new FakeCluster();
  for (const sequencer of cluster.sequencers) sequencer.transport.disconnect();
  const producer = cluster.client().client.producer(LOG, { deliveryTimeoutMs: 1_000 });
  const error = await cluster.clock.until(failure(producer.append({ value: 'early' })), 10_000);
  assert.equal(error.code, 'unavailable');
  assert.equal(error.outcome, 'not-applied');
  for (const sequencer of cluster.sequencers) sequencer.transport.reconnect();
  await cluster.clock.until(producer.append({ value: 'late' }));
  assert.deepEqual(values(cluster), ['late']);
});

test('what was sent when the log was deleted, or the connection closed, has an unknown outcome', async () => {
  for (const end of ['deleted', 'closed'] as const) {
    const cluster = new FakeCluster();
    const { client, transport } = cluster.client();
    const producer = client.producer(LOG, { requestTimeoutMs: 500, lingerMs: 0 });
    await cluster.clock.until(producer.append({ value: 'first' }));
    cluster.network.fate = (sent) => (isReplyToAppend(cluster, sent) ? 'lost' : 1);
    const sent = failure(producer.append({ value: 'sent' }));
    await cluster.clock.pass(100);
    const queued = failure(producer.append({ value: 'queued' }));
    if (end === 'deleted') {
      for (const sequencer of cluster.sequencers) {
        sequencer.administer = () => {
          throw new PyralogError({ code: 'invalid', message: 'there is no such log' });
        };
        sequencer.refuseAppend = () => new PyralogError({ code: 'not-sequencer', message: 'not the owner' });
      }
      cluster.network.fate = () => 1;
    } else await transport.close();
    const [first, second] = await cluster.clock.until(Promise.all([sent, queued]), 5_000);
    assert.equal(first.outcome, 'unknown', end);
    if (end === 'deleted') assert.equal(second.message, 'there is no such log');
  }
});

function isReplyToAppend(cluster: FakeCluster, sent: Sent): boolean {
  return sent.subject.startsWith('_INBOX') && cluster.sequencers.some(({ id }) => id === sent.from);
}

test('a batch that was never sent expires with the reason, not applied', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  cluster.closeEpoch(0);
  const producer = client.producer(LOG, { deliveryTimeoutMs: 1_000 });
  const error = await cluster.clock.until(failure(producer.append({ value: 'v' })), 1_500);
  assert.equal(error.outcome, 'not-applied');
  assert.equal(error.message, 'partition has no live owner');
  cluster.open(0, 0);
  await cluster.clock.until(producer.append({ value: 'w' }));
  assert.deepEqual(values(cluster), ['w']);
});

test('a batch that was refused until its deadline fails with the last refusal', async () => {
  const cluster = new FakeCluster();
  const sequencer = cluster.sequencers[0];
  assert.ok(sequencer);
  sequencer.refuseAppend = () => new PyralogError({ code: 'overloaded', message: 'window is full' });
  const producer = cluster.client().client.producer(LOG, { deliveryTimeoutMs: 2_000 });
  const error = await cluster.clock.until(failure(producer.append({ value: 'v' })), 3_000);
  assert.equal(error.code, 'overloaded');
  assert.equal(error.outcome, 'not-applied');
});

test('a batch without any answer expires with an unknown outcome, and what follows is in the log once', async () => {
  for (const lost of ['requests', 'replies'] as const) {
    const cluster = new FakeCluster();
    const { client } = cluster.client();
    const producer = client.producer(LOG, { deliveryTimeoutMs: 3_000, requestTimeoutMs: 1_000, lingerMs: 0 });
    await cluster.clock.until(producer.append({ value: 'first' }));
    let isCut = true;
    cluster.network.fate = (sent) => {
      const isReply = sent.from.startsWith('s-') && sent.subject.startsWith('_INBOX');
      return isCut && (lost === 'requests' ? isAppend(sent) : isReply) ? 'lost' : 1;
    };
    const expired = failure(producer.append({ value: 'expired' }));
    await cluster.clock.pass(2_000);
    const later = producer.append({ value: 'later' });
    const error = await cluster.clock.until(expired, 2_000);
    assert.equal(error.code, 'timeout');
    assert.equal(error.outcome, 'unknown');
    isCut = false;
    await cluster.clock.until(later);
    await cluster.clock.until(producer.append({ value: 'last' }));
    const expected = lost === 'requests' ? ['first', 'later', 'last'] : ['first', 'expired', 'later', 'last'];
    assert.deepEqual(values(cluster), expected, lost);
  }
});

test('a late attempt of a batch that was given up on cannot enter the log after its successors', async () => {
  const cluster = new FakeCluster();
  const { client, transport } = cluster.client();
  const producer = client.producer(LOG, { deliveryTimeoutMs: 1_000, requestTimeoutMs: 400, lingerMs: 0 });
  await cluster.clock.until(producer.append({ value: 'first' }));
  const held: Sent[] = [];
  let isHeld = true;
  cluster.network.fate = (sent) => {
    if (!isHeld || !isAppend(sent)) return 1;
    held.push(sent);
    return 'lost';
  };
  await cluster.clock.until(failure(producer.append({ value: 'given up' })));
  isHeld = false;
  await cluster.clock.until(producer.append({ value: 'second' }));
  assert.ok(held.length > 1);
  for (const sent of held) transport.publish(sent.subject, sent.payload, 'nobody');
  await cluster.clock.pass(1_000);
  await cluster.clock.until(producer.append({ value: 'third' }));
  assert.deepEqual(values(cluster), ['first', 'second', 'third']);
});

test('a batch that the owner refuses for good fails alone', async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const cluster = new FakeCluster({ seed });
    const sequencer = cluster.sequencers[0];
    assert.ok(sequencer);
    cluster.network.fate = () => cluster.random.below(3);
    let count = 0;
    sequencer.refuseAppend = () => {
      count++;
      return count % 7 === 0 ? new PyralogError({ code: 'invalid', message: 'batch is refused' }) : undefined;
    };
    const producer = cluster.client().client.producer(LOG, { batchBytes: 130, lingerMs: 0 });
    const settled = await cluster.clock.until(
      Promise.allSettled(numbers(100).map((value) => producer.append({ value }))),
    );
    const good = numbers(100).filter((value) => settled[Number(value)]?.status === 'fulfilled');
    assert.ok(good.length > 50 && good.length < 100);
    assert.deepEqual(values(cluster), good);
  }
});

test('a batch that may have been applied is repeated under its old number although one before it was given up on', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const producer = client.producer(LOG, { deliveryTimeoutMs: 1_000, requestTimeoutMs: 300, lingerMs: 0 });
  await cluster.clock.until(producer.append({ value: 'first' }));
  let isCut = true;
  cluster.network.fate = (sent) =>
    isCut && sent.from.startsWith('s-') && sent.subject.startsWith('_INBOX') ? 'lost' : 1;
  const expired = failure(producer.append({ value: 'expired' }));
  await cluster.clock.pass(100);
  const second = producer.append({ value: 'second' });
  const error = await cluster.clock.until(expired);
  assert.equal(error.outcome, 'unknown');
  isCut = false;
  await cluster.clock.until(second);
  await cluster.clock.until(producer.append({ value: 'third' }));
  assert.deepEqual(values(cluster), ['first', 'expired', 'second', 'third']);
});

test('a lost request or answer shows by the next one, long before its timeout', async () => {
  for (const lost of ['request', 'answer'] as const) {
    const cluster = new FakeCluster();
    const { client } = cluster.client();
    const producer = client.producer(LOG, { lingerMs: 0, batchBytes: 150, requestTimeoutMs: 10_000 });
    await cluster.clock.until(producer.append({ value: 'first' }));
    let count = 0;
    cluster.network.fate = (sent) => {
      const isReply = sent.from.startsWith('s-') && sent.subject.startsWith('_INBOX');
      if (lost === 'request' ? isAppend(sent) : isReply) count++;
      return count === 3 && (lost === 'request' ? isAppend(sent) : isReply) ? 'lost' : 1;
    };
    const startMs = cluster.clock.monotonicMs();
    await cluster.clock.until(Promise.all(numbers(60).map((value) => producer.append({ value }))));
    assert.ok(cluster.clock.monotonicMs() - startMs < 500, lost);
    assert.deepEqual(values(cluster), ['first', ...numbers(60)]);
  }
});

test('no two sends share their bytes', async () => {
  const cluster = new FakeCluster({ seed: 5 });
  const { client } = cluster.client();
  const sent = new Map<Uint8Array, string>();
  const buffers = new Set<ArrayBufferLike>();
  const { onSent } = cluster.network;
  cluster.network.onSent = (message) => {
    onSent(message);
    if (!isAppend(message)) return;
    assert.ok(!buffers.has(message.payload.buffer), 'bytes that belong to the transport are sent again');
    buffers.add(message.payload.buffer);
    sent.set(message.payload, bodyOf(message.payload));
  };
  cluster.network.fate = (message) => {
    const isHit = isAppend(message) || isReplyToAppend(cluster, message);
    return isHit && cluster.random.fraction() < 0.2 ? 'lost' : 1;
  };
  const producer = client.producer(LOG, {
    lingerMs: 0,
    batchBytes: 200,
    requestTimeoutMs: 200,
    deliveryTimeoutMs: 600,
  });
  await cluster.clock.until(Promise.allSettled(numbers(200).map((value) => producer.append({ value }))));
  assert.ok(sent.size > 30, `${sent.size} sends`);
  for (const [payload, body] of sent) assert.equal(bodyOf(payload), body);
});

/** What the client wrote of a frame: everything from the version on. */
function bodyOf(frame: Uint8Array): string {
  return Buffer.from(frame.subarray(56)).toString('hex');
}

test('under every fault at once nothing acknowledged is lost, doubled or reordered', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const cluster = new FakeCluster({ seed, sequencers: 3 });
    const { client, transport } = cluster.client();
    const { random } = cluster;
    cluster.network.fate = (sent, to) => {
      const isOurs = sent.from.startsWith('client') || to.startsWith('client');
      return isOurs && random.fraction() < 0.05 ? 'lost' : random.below(5);
    };
    for (const sequencer of cluster.sequencers) {
      sequencer.refuseAppend = () =>
        random.fraction() < 0.1 ? new PyralogError({ code: 'overloaded', message: 'window is full' }) : undefined;
    }
    const options = { batchBytes: 250, lingerMs: random.below(3), deliveryTimeoutMs: 2_000, requestTimeoutMs: 300 };
    const producer = client.producer(LOG, options);
    const outcomes = new Map<string, PyralogError | undefined>();
    const appended: Promise<void>[] = [];
    for (const value of numbers(300)) {
      const settled = producer.append({ value }).then(
        () => outcomes.set(value, undefined),
        (error: unknown) => outcomes.set(value, error as PyralogError),
      );
      appended.push(settled.then(() => undefined));
      const dice = random.fraction();
      if (dice < 0.01) {
        transport.disconnect();
        await cluster.clock.pass(random.below(3_000));
        transport.reconnect();
      } else if (dice < 0.2) await cluster.clock.pass(random.below(50));
    }
    await cluster.clock.until(Promise.all(appended));
    const stored = values(cluster);
    assert.equal(new Set(stored).size, stored.length, `seed ${seed}: doubled`);
    assert.deepEqual(
      stored,
      [...stored].sort((a, b) => Number(a) - Number(b)),
      `seed ${seed}: reordered`,
    );
    for (const [value, error] of outcomes) {
      if (error === undefined) assert.ok(stored.includes(value), `seed ${seed}: ${value} is lost`);
      else if (error.outcome === 'not-applied')
        assert.ok(!stored.includes(value), `seed ${seed}: ${value} was applied`);
    }
  }
});

test('what is in flight is bounded, and calls wait in order', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  let underWayBytes = 0;
  let underWayMax = 0;
  const sizes: number[] = [];
  const { onSent } = cluster.network;
  cluster.network.onSent = (sent) => {
    onSent(sent);
    if (isAppend(sent)) {
      sizes.push(sent.payload.byteLength);
      underWayBytes += sent.payload.byteLength;
      underWayMax = Math.max(underWayMax, underWayBytes);
    } else if (sent.from === 's-0' && sent.subject.startsWith('_INBOX')) underWayBytes -= sizes.shift() ?? 0;
  };
  cluster.network.fate = () => 10;
  const producer = client.producer(LOG, { inFlightBytesMax: 5_000, batchBytes: 1_000, lingerMs: 10_000 });
  await cluster.clock.until(producer.append({ value: 'warm' }), 15_000);
  sizes.length = 0;
  underWayBytes = 0;
  let waits = 0;
  for (const value of numbers(1_000)) {
    const room = producer.write({ value: value.padEnd(40) });
    if (room === undefined) continue;
    waits++;
    await cluster.clock.until(room);
  }
  await cluster.clock.until(producer.flush());
  assert.ok(waits > 5);
  assert.ok(underWayMax <= 6_000, `${underWayMax} bytes were in flight`);
  assert.deepEqual(
    values(cluster).slice(1),
    numbers(1_000).map((value) => value.padEnd(40)),
  );
});

test('a small record does not pass a large one that waits for room', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  cluster.network.fate = () => 5;
  const producer = client.producer(LOG, { inFlightBytesMax: 1_000, lingerMs: 0 });
  await cluster.clock.until(producer.append({ value: 'warm' }));
  void producer.append({ value: 'a'.repeat(900) });
  void producer.append({ value: 'b'.repeat(500) });
  assert.notEqual(producer.write({ value: 'c' }), undefined);
  await cluster.clock.until(producer.flush());
  assert.deepEqual(
    values(cluster).map((value) => value[0]),
    ['w', 'a', 'b', 'c'],
  );
});

test('callers who do not wait are refused once too much waits', async () => {
  const cluster = new FakeCluster();
  const producer = cluster.client().client.producer(LOG, { inFlightBytesMax: 1_000 });
  const settled: Promise<unknown>[] = [];
  for (const value of numbers(500))
    settled.push(producer.append({ value: value.padEnd(30) }).catch((error: unknown) => error));
  const results = await cluster.clock.until(Promise.all(settled));
  const refused = results.filter((result) => result instanceof PyralogError);
  assert.ok(
    refused.length > 300 && refused.every((error) => error.code === 'overloaded' && error.outcome === 'not-applied'),
  );
});

test('aborting rejects a waiting append as not applied, and a sent one as unknown', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  cluster.network.fate = () => 20;
  const producer = client.producer(LOG, { inFlightBytesMax: 100, lingerMs: 0 });
  await cluster.clock.until(producer.append({ value: 'warm' }));
  const abort = new AbortController();
  const sent = failure(producer.append({ value: 'x'.repeat(80) }, { signal: abort.signal }));
  const waiting = failure(producer.append({ value: 'waits' }, { signal: abort.signal }));
  const other = producer.append({ value: 'other' });
  await cluster.clock.pass(1);
  abort.abort(new Error('enough'));
  const [first, second] = await cluster.clock.until(Promise.all([sent, waiting]), 1);
  assert.equal(first.outcome, 'unknown');
  assert.equal(second.outcome, 'not-applied');
  assert.equal(second.code, 'closed');
  assert.ok(second.cause instanceof Error);
  await cluster.clock.until(other);
  assert.deepEqual(values(cluster), ['warm', 'x'.repeat(80), 'other']);
  const already = await failure(producer.append({ value: 'never' }, { signal: abort.signal }));
  assert.equal(already.outcome, 'not-applied');
});

test('a batch of records is acknowledged as runs of consecutive offsets', async () => {
  const cluster = new FakeCluster({ partitions: 2 });
  const { client } = cluster.client();
  const producer = client.producer(LOG, { batchBytes: 400, inFlightBytesMax: 2_000 });
  const records = numbers(300).map((value) => ({ value, partition: Number(value) % 2 }));
  const acks = await cluster.clock.until(producer.appendBatch(records));
  assert.equal(
    acks.reduce((sum, ack) => sum + ack.count, 0),
    300,
  );
  for (const partition of [0, 1]) {
    let next = 0;
    for (const ack of acks.filter((one) => one.partition === partition)) {
      assert.equal(ack.offset, next);
      next += ack.count;
    }
    assert.equal(next, 150);
  }
  await assert.rejects(producer.appendBatch([{ value: 'good' }, { value: 'bad', timestamp: -1 }]), { code: 'invalid' });
  assert.equal(values(cluster, 0).length, 150);
});

test('an aborted batch of records rejects at once', async () => {
  const cluster = new FakeCluster();
  const { client } = cluster.client();
  const producer = client.producer(LOG, { inFlightBytesMax: 500 });
  await cluster.clock.until(producer.append({ value: 'warm' }));
  cluster.network.fate = (sent) => (isAppend(sent) ? 'lost' : 0);
  const abort = new AbortController();
  const appended = failure(
    producer.appendBatch(
      numbers(1_000).map((value) => ({ value })),
      { signal: abort.signal },
    ),
  );
  await cluster.clock.pass(100);
  abort.abort();
  const error = await cluster.clock.until(appended, 1);
  assert.equal(error.outcome, 'unknown');
});

test('a failed write rejects the next flush, which counts the failures, and no later one', async () => {
  const cluster = new FakeCluster();
  const sequencer = cluster.sequencers[0];
  assert.ok(sequencer);
  const producer = cluster.client().client.producer(LOG);
  await cluster.clock.until(producer.append({ value: 'warm' }));
  sequencer.refuseAppend = () => new PyralogError({ code: 'unauthorized', message: 'not allowed' });
  for (const value of numbers(10)) assert.equal(producer.write({ value }), undefined);
  const error = await cluster.clock.until(failure(producer.flush()));
  assert.equal(error.code, 'unauthorized');
  assert.equal(error.fields.failedRecords, 10);
  sequencer.refuseAppend = () => undefined;
  assert.equal(producer.write({ value: 'good' }), undefined);
  await cluster.clock.until(producer.flush());
  assert.deepEqual(values(cluster), ['warm', 'good']);
});

test('closing sends what was accepted, then refuses', async () => {
  const cluster = new FakeCluster();
  const { client, transport } = cluster.client();
  const producer = client.producer(LOG, { lingerMs: 60_000 });
  const appended = producer.append({ value: 'last' });
  const closing = producer.close();
  assert.equal((await failure(producer.append({ value: 'too late' }))).code, 'closed');
  assert.throws(() => producer.write({ value: 'too late' }), { code: 'closed' });
  await cluster.clock.until(Promise.all([appended, closing]), 1_000);
  assert.deepEqual(values(cluster), ['last']);
  assert.equal((await failure(producer.flush())).code, 'closed');
  assert.equal(cluster.network.subscriptionsOf(transport), 0);
  await cluster.clock.until(client.close());
  assert.throws(() => client.producer(LOG), { code: 'closed' });
});

test('a producer that was never used closes at once, whatever the cluster does', async () => {
  const cluster = new FakeCluster();
  cluster.network.fate = () => 'lost';
  const { client } = cluster.client();
  client.producer(LOG);
  client.reader(LOG);
  await cluster.clock.until(client.close(), 1);
});

test('options outside their limits are refused naming the option', () => {
  const { client } = new FakeCluster().client();
  const field = (name: string) => (error: unknown) => error instanceof PyralogError && error.fields.field === name;
  assert.throws(() => client.producer(LOG, { lingerMs: -1 }), field('lingerMs'));
  assert.throws(() => client.producer(LOG, { inFlightBatchesMax: 6 }), field('inFlightBatchesMax'));
  assert.throws(() => client.producer(LOG, { batchBytes: 0 }), field('batchBytes'));
  assert.throws(() => client.producer('nolog'), field('log'));
  assert.throws(() => client.reader(LOG, { from: { offset: -1 } }), field('from'));
  assert.throws(() => client.reader(LOG, { partitions: [] }), field('partitions'));
});
