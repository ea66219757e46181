/** A whole local cluster of real processes: what it starts, writes, refuses, and leaves behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import {
  clusterStatusSchema,
  decodeReply,
  encodeMessage,
  PyralogError,
  Subjects,
  silentLogger,
} from '@pyralog/shared/core';
import { connectNats } from '@pyralog/shared/node';
import { z } from 'zod';
import { type LocalCluster, type LocalClusterOptions, startLocalCluster } from '../local-cluster.ts';
import { natsServerSkip } from './nats-server.ts';
import { eventually, isRunning, temporaryDirectory } from './temporary-directory.ts';

const options = { skip: natsServerSkip, timeout: 180_000 };

type Start = Partial<LocalClusterOptions> & Pick<LocalClusterOptions, 'directory'>;

async function start(context: TestContext, given: Start): Promise<LocalCluster> {
  const cluster = await startLocalCluster({ storageNodes: 3, sequencers: 2, logger: silentLogger, ...given });
  context.after(() => cluster.stop());
  return cluster;
}

const clusterFileSchema = z.object({
  natsUrl: z.string(),
  monitorUrl: z.string(),
  processes: z.array(z.object({ role: z.string(), id: z.string(), pid: z.number(), logFile: z.string() })),
});
async function clusterFile(directory: string): Promise<z.output<typeof clusterFileSchema>> {
  return clusterFileSchema.parse(JSON.parse(await readFile(path.join(directory, 'cluster.json'), 'utf8')));
}

/** Ids of the processes that the cluster's sequencers know to be alive. */
async function aliveIn(cluster: LocalCluster): Promise<string[]> {
  const transport = await connectNats({ url: cluster.natsUrl, name: 'test', logger: silentLogger });
  try {
    const subject = new Subjects(cluster.clusterName).cluster;
    const reply = await transport.request(subject, encodeMessage({ op: 'status' }), { timeoutMs: 5_000 });
    const { processes } = decodeReply(clusterStatusSchema, reply.payload);
    return processes
      .filter(({ alive }) => alive)
      .map(({ heartbeat }) => heartbeat.id)
      .sort();
  } finally {
    await transport.close();
  }
}

test('a cluster starts, says where everything is, and stops without leaving a process', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const cluster = await start(context, { directory });
  const ids = ['nats-1', 'sequencer-1', 'sequencer-2', 'storage-node-1', 'storage-node-2', 'storage-node-3'];
  assert.deepEqual(
    cluster.processes.map(({ id }) => id),
    ids,
  );
  const file = await clusterFile(directory);
  assert.deepEqual([file.natsUrl, file.monitorUrl], [cluster.natsUrl, cluster.monitorUrl]);
  assert.deepEqual(
    file.processes.map(({ id, pid }) => [id, pid]),
    cluster.processes.map(({ id, pid }) => [id, pid]),
  );
  assert.ok((await fetch(`${cluster.monitorUrl}/healthz`)).ok);
  await eventually('all are alive to each other', async () => (await aliveIn(cluster)).join() === ids.slice(1).join());
  for (const { logFile } of cluster.processes) assert.ok((await stat(logFile)).size > 0, logFile);
  assert.deepEqual((await readdir(path.join(directory, 'data'))).sort(), ids.slice(3));
  const pids = cluster.processes.map(({ pid }) => pid);
  await cluster.stop();
  assert.deepEqual(pids.filter(isRunning), []);
  await assert.rejects(access(path.join(directory, 'cluster.json')));
  for (const { id, exited } of cluster.processes.slice(1)) {
    assert.deepEqual(await exited, { code: 0, signal: undefined }, id);
  }
});

test(
  'a sequencer writes nothing to disk, and its working directory is empty and read-only',
  options,
  async (context) => {
    const directory = await temporaryDirectory(context);
    const cluster = await start(context, { directory });
    const empty = path.join(directory, 'empty');
    assert.equal((await stat(empty)).mode & 0o222, 0);
    assert.deepEqual(await readdir(empty), []);
    for (const sequencer of cluster.sequencers) assert.equal(await sequencer.bytesWritten(), 0, sequencer.id);
  },
);

test('a second start on the same directory is refused, and the first goes on', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const cluster = await start(context, { directory, storageNodes: 1, sequencers: 1 });
  await assert.rejects(start(context, { directory }), (error: unknown) => {
    assert.ok(error instanceof PyralogError);
    assert.equal(error.message, 'a cluster is running in this directory');
    assert.equal(error.fields.pid, process.pid);
    return true;
  });
  assert.ok(cluster.processes.every(({ running }) => running));
  assert.equal((await clusterFile(directory)).processes.length, 3);
});

test('a directory whose last owner died is taken over, and its data is continued', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const first = await start(context, { directory, storageNodes: 1, sequencers: 1 });
  const identity = await snapshot(path.join(directory, 'data', 'storage-node-1'));
  await first.stop();
  // What a crash leaves: both files, of processes that are no more.
  await writeFile(path.join(directory, 'cluster.lock'), JSON.stringify({ pid: process.pid, startedAt: 'long ago' }));
  await writeFile(path.join(directory, 'cluster.json'), '{"processes": [');
  const second = await start(context, { directory, storageNodes: 2, sequencers: 1 });
  assert.deepEqual(await snapshot(path.join(directory, 'data', 'storage-node-1')), identity);
  await eventually('both nodes', async () => (await aliveIn(second)).length === 3);
});

/** Names in a storage node's directory. */
async function snapshot(directory: string): Promise<string[]> {
  return (await readdir(directory)).sort();
}

test('a killed process is started again with its configuration, and cluster.json follows', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const cluster = await start(context, { directory, storageNodes: 2, sequencers: 1 });
  const node = cluster.process('storage-node-2');
  const before = node.pid;
  node.kill('SIGKILL');
  await node.exited;
  assert.equal(node.running, false);
  await node.start();
  assert.notEqual(node.pid, before);
  await eventually('cluster.json', async () => {
    const { processes } = await clusterFile(directory);
    return processes.find(({ id }) => id === node.id)?.pid === node.pid;
  });
  await eventually('the node is back', async () => (await aliveIn(cluster)).includes(node.id));
  assert.throws(() => cluster.process('storage-node-9'), PyralogError);
});

test(
  'a service that cannot start fails the start with its last words, and nothing keeps running',
  options,
  async (context) => {
    const directory = await temporaryDirectory(context);
    const starting = start(context, {
      directory,
      storageNodes: 1,
      sequencers: 1,
      environment: { PYRALOG_HEARTBEAT_INTERVAL_MS: 'often' },
    });
    await assert.rejects(starting, (error: unknown) => {
      assert.ok(error instanceof PyralogError);
      assert.equal(error.code, 'unavailable');
      assert.match(String(error.fields.lastLines), /PYRALOG_HEARTBEAT_INTERVAL_MS/);
      return true;
    });
    await assert.rejects(access(path.join(directory, 'cluster.lock')));
    // The directory is free again.
    await (await start(context, { directory, storageNodes: 1, sequencers: 1 })).stop();
  },
);

test('a port that is taken is an error that shows what nats-server said', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  await assert.rejects(start(context, { directory, port }), (error: unknown) => {
    assert.ok(error instanceof PyralogError);
    assert.match(String(error.fields.lastLines), /address already in use/);
    return true;
  });
});

test('whatever becomes of the starter, the processes end, in their order', options, async (context) => {
  const directory = await temporaryDirectory(context);
  const source = `
    const { startLocalCluster } = await import(${JSON.stringify(new URL('../local-cluster.js', import.meta.url).href)});
    const { silentLogger } = await import('@pyralog/shared/core');
    const cluster = await startLocalCluster({ directory: ${JSON.stringify(directory)}, storageNodes: 2, sequencers: 1, logger: silentLogger });
    console.log(JSON.stringify(cluster.processes.map(({ pid }) => pid)));
  `;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', source], {
    cwd: new URL('.', import.meta.url),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  context.after(() => starter.kill('SIGKILL'));
  const [line] = (await once(createInterface(starter.stdout), 'line')) as [string];
  const pids = z.array(z.number()).parse(JSON.parse(line));
  assert.equal(pids.length, 4);
  starter.kill('SIGKILL');
  await once(starter, 'exit');
  // The next start waits for those that are still ending.
  const next = await start(context, { directory, storageNodes: 2, sequencers: 1 });
  assert.deepEqual(pids.filter(isRunning), []);
  assert.equal((await clusterFile(directory)).processes.length, 4);
  await eventually('all are alive', async () => (await aliveIn(next)).length === 3);
});
