/** Real nats-servers, alone and as a cluster. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { silentLogger, text, utf8 } from '@pyralog/shared/core';
import { connectNats, NatsMetadataStore } from '@pyralog/shared/node';
import { startNatsCluster } from '../nats-cluster.ts';
import { natsServerSkip } from './nats-server.ts';
import { eventually, temporaryDirectory } from './temporary-directory.ts';

const options = { skip: natsServerSkip, timeout: 120_000 };

test('three servers form one cluster whose buckets outlive any one of them', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const cluster = await startNatsCluster({ directory, servers: 3, logger: silentLogger });
  context.after(() => cluster.stop());
  const transport = await connectNats({ url: cluster.natsUrl, name: 'test', logger: silentLogger });
  context.after(() => transport.close());
  assert.equal(transport.payloadBytesMax, 8 * 1024 * 1024);
  const store = new NatsMetadataStore(transport.connection, silentLogger);
  await store.openBucket('b', { replicas: 3 });
  assert.equal((await store.compareAndSet('b', 'a', 0, utf8('1'))).kind, 'written');
  const seen = new Map<string, string>();
  const watch = await store.watch('b', {
    onChange: (change) => {
      if (change.kind === 'put') seen.set(change.entry.key, text(change.entry.value));
    },
    onCaughtUp: () => undefined,
  });

  for (const server of cluster.servers) {
    const answer = (await (await fetch(`${server.monitorUrl}/healthz`)).json()) as { status?: string };
    assert.equal(answer.status, 'ok');
  }
  const [server] = cluster.servers;
  assert.ok(server !== undefined);
  server.kill('SIGKILL');
  await server.exited;
  await eventually('a write without it', async () => {
    const entry = await store.get('b', 'c').catch(() => undefined);
    if (entry !== undefined) return true;
    await store.compareAndSet('b', 'c', 0, utf8('x')).catch(() => undefined);
    return false;
  });
  await eventually('the watch', () => seen.get('c') === 'x');
  await server.start();
  await eventually('the server is up to date', () => fetch(`${server.monitorUrl}/healthz`).then((answer) => answer.ok));
  assert.deepEqual((await store.keys('b', '')).sort(), ['a', 'c']);
  watch.cancel();
  assert.match(await readFile(server.logFile, 'utf8'), /Server is ready/);
});

test('a lone server keeps its data over a stop and a start, on the same port', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const cluster = await startNatsCluster({ directory, servers: 1, logger: silentLogger });
  context.after(() => cluster.stop());
  const [server] = cluster.servers;
  assert.ok(server !== undefined);
  const transport = await connectNats({ url: cluster.natsUrl, name: 'test', logger: silentLogger });
  context.after(() => transport.close());
  const store = new NatsMetadataStore(transport.connection, silentLogger);
  await store.openBucket('b', { replicas: 1 });
  await store.compareAndSet('b', 'a', 0, utf8('1'));
  await server.stop();
  assert.equal(server.running, false);
  await server.start();
  await eventually('the value', async () => (await store.get('b', 'a').catch(() => undefined)) !== undefined);
});
