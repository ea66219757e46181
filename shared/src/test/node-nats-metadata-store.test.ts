/** `NatsMetadataStore` on a real nats-server: the port's conformance, and restarts of the server. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type MetadataStore, silentLogger, text, utf8 } from '../core/index.ts';
import { connectNats, NatsMetadataStore, type NatsTransport } from '../node/index.ts';
import { metadataStoreConformance, revisionOf, Watched } from './conformance/metadata-store.ts';
import { failure } from './conformance/transport.ts';
import { eventually, natsServerSkip, startTestNatsServer, type TestNatsServer } from './nats-server.ts';

let server: TestNatsServer;
let transports: [NatsTransport, NatsTransport];
let stores: [MetadataStore, MetadataStore];
let buckets = 0;

const open = (url: string) => connectNats({ url, name: 'test', logger: silentLogger });
const storeOn = (transport: NatsTransport) => new NatsMetadataStore(transport.connection, silentLogger);

before(async () => {
  if (natsServerSkip !== false) return;
  server = await startTestNatsServer();
  transports = [await open(server.url), await open(server.url)];
  stores = [storeOn(transports[0]), storeOn(transports[1])];
});
after(async () => {
  for (const transport of transports ?? []) await transport.close();
  await server?.dispose();
});

const options = { skip: natsServerSkip, timeout: 90_000 };

metadataStoreConformance({
  name: 'nats metadata store',
  skip: natsServerSkip,
  stores: () => stores,
  bucket: () => `bucket_${buckets++}`,
});

test('many processes open one bucket at once', options, async () => {
  const many = await Promise.all(Array.from({ length: 8 }, () => open(server.url)));
  await Promise.all(many.map((transport) => storeOn(transport).openBucket('raced', { replicas: 1 })));
  assert.equal((await stores[0].compareAndSet('raced', 'a', 0, utf8('1'))).kind, 'written');
  await Promise.all(many.map((transport) => transport.close()));
});

test('more replicas than a lone server can keep is refused at once', options, async () => {
  const started = performance.now();
  const error = await failure(stores[0].openBucket('too_many', { replicas: 3 }));
  assert.equal(error.code, 'invalid');
  assert.ok(performance.now() - started < 5_000);
});

test('a bucket that does not exist is an error, not an empty one', options, async () => {
  for (const attempt of [
    () => stores[0].get('nowhere', 'a'),
    () => stores[0].keys('nowhere', ''),
    () => stores[0].watch('nowhere', new Watched()),
    () => stores[0].compareAndSet('nowhere', 'a', 0, utf8('')),
  ]) {
    assert.match((await failure(attempt())).code, /invalid|unavailable/);
  }
});

test('a value larger than the server takes is invalid and names the limit', options, async () => {
  await stores[0].openBucket('large', { replicas: 1 });
  const limit = transports[0].payloadBytesMax;
  const error = await failure(stores[0].compareAndSet('large', 'a', 0, new Uint8Array(limit + 1)));
  assert.equal(error.code, 'invalid');
  assert.equal(error.fields.limit, limit);
  const value = new Uint8Array(limit - 1_000).fill(7);
  revisionOf(await stores[0].compareAndSet('large', 'a', 0, value));
  assert.deepEqual((await stores[0].get('large', 'a'))?.value, value);
});

test('a watch of a bucket larger than one flow control window reports every key once', options, async () => {
  await stores[0].openBucket('wide', { replicas: 1 });
  const value = new Uint8Array(4_096);
  for (let from = 0; from < 4_000; from += 200) {
    const writes = Array.from({ length: 200 }, (_, index) =>
      stores[0].compareAndSet('wide', `p.${from + index}`, 0, value),
    );
    await Promise.all(writes);
  }
  const keys = new Set<string>();
  let puts = 0;
  let caughtUp = false;
  const watch = await stores[1].watch('wide', {
    onChange: (change) => {
      puts += 1;
      if (change.kind === 'put') keys.add(change.entry.key);
    },
    onCaughtUp: () => {
      caughtUp = true;
    },
  });
  await eventually('caught up', () => caughtUp, 30_000);
  assert.equal(keys.size, 4_000);
  assert.equal(puts, 4_000);
  watch.cancel();
  assert.equal((await stores[1].keys('wide', 'p.')).length, 4_000);
});

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`a watch survives a restart of the server by ${signal} and misses no latest value`, options, async () => {
    const own = await startTestNatsServer();
    const watcher = await open(own.url);
    const writer = await open(own.url);
    try {
      const store = storeOn(writer);
      await store.openBucket('b', { replicas: 1 });
      const a = revisionOf(await store.compareAndSet('b', 'a', 0, utf8('1')));
      const b = revisionOf(await store.compareAndSet('b', 'b', 0, utf8('1')));
      const watched = new Watched();
      const watch = await storeOn(watcher).watch('b', watched);
      await eventually('caught up', () => watched.caughtUp === 1);

      for (let round = 0; round < 2; round++) {
        await own.stop(signal);
        await eventually('disconnected', () => watcher.status === 'disconnected' && writer.status === 'disconnected');
        await own.start();
        await eventually('connected', () => writer.status === 'connected');
      }
      const last = await settled(() => store.compareAndSet('b', 'a', a, utf8('2')));
      revisionOf(last);
      revisionOf(await store.compareAndDelete('b', 'b', b));
      revisionOf(await store.compareAndSet('b', 'c', 0, utf8('1')));
      await eventually('the changes', () => watched.latest().join() === 'a=2,c=1');
      assert.equal(watched.caughtUp, 1);
      // What did not change was not reported again.
      assert.deepEqual(watched.shown, ['a=1', 'b=1', 'a=2', 'b deleted', 'c=1']);
      watch.cancel();
    } finally {
      await Promise.all([watcher.close(), writer.close()]);
      await own.dispose();
    }
  });
}

test('a watch sees what changed while its connection was away', options, async () => {
  const own = await startTestNatsServer();
  const watcher = await open(own.url);
  try {
    const store = storeOn(watcher);
    await store.openBucket('b', { replicas: 1 });
    const a = revisionOf(await store.compareAndSet('b', 'a', 0, utf8('1')));
    const b = revisionOf(await store.compareAndSet('b', 'b', 0, utf8('1')));
    const watched = new Watched();
    await store.watch('b', watched);
    await eventually('caught up', () => watched.caughtUp === 1);
    // The watcher's connection is cut and its reconnection happens after the writes of somebody else.
    const writer = await open(own.url);
    const other = storeOn(writer);
    watcher.connection.reconnect().catch(() => undefined);
    revisionOf(await other.compareAndSet('b', 'a', a, utf8('2')));
    revisionOf(await other.compareAndDelete('b', 'b', b));
    await eventually('the changes', () => watched.latest().join() === 'a=2');
    await writer.close();
  } finally {
    await watcher.close();
    await own.dispose();
  }
});

test('a watch follows a bucket that was lost and made anew', options, async () => {
  const own = await startTestNatsServer();
  const watcher = await open(own.url);
  try {
    const store = storeOn(watcher);
    await store.openBucket('b', { replicas: 1 });
    for (const key of ['a', 'b', 'c']) revisionOf(await store.compareAndSet('b', key, 0, utf8('old')));
    const watched = new Watched();
    await store.watch('b', watched);
    await eventually('caught up', () => watched.caughtUp === 1);

    await own.stop('SIGKILL');
    await rm(join(own.directory, 'jetstream'), { recursive: true });
    await own.start();
    await eventually('connected', () => watcher.status === 'connected');
    await store.openBucket('b', { replicas: 1 });
    revisionOf(await store.compareAndSet('b', 'b', 0, utf8('new')));
    await eventually('the new contents', () => watched.latest().join() === 'b=new');
  } finally {
    await watcher.close();
    await own.dispose();
  }
});

test('a write that is cut off is of unknown outcome', options, async () => {
  const own = await startTestNatsServer();
  const transport = await open(own.url);
  try {
    const store = storeOn(transport);
    await store.openBucket('b', { replicas: 1 });
    own.signal('SIGSTOP');
    const writing = failure(store.compareAndSet('b', 'a', 0, utf8('1')));
    const error = await writing;
    assert.equal(error.code, 'timeout');
    assert.equal(error.outcome, 'unknown');
    own.signal('SIGCONT');
    // The stopped server had the write in its socket: it happened after all.
    await eventually('the write', async () => {
      const entry = await store.get('b', 'a').catch(() => undefined);
      return entry !== undefined && text(entry.value) === '1';
    });
  } finally {
    own.signal('SIGCONT');
    await transport.close();
    await own.dispose();
  }
});

/** Tries again while JetStream is not back yet: such a refusal is `unavailable`, and nothing was written. */
async function settled<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = 100; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
