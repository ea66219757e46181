import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DEFAULT_CLUSTER_NAME, DEFAULT_NATS_URL, DEV_DIRECTORY, findCluster } from '../connection.ts';

const directory = await mkdtemp(join(tmpdir(), 'pyralog-cli-'));
after(() => rm(directory, { recursive: true }));

async function writeClusterFile(content: unknown): Promise<void> {
  await mkdir(join(directory, DEV_DIRECTORY), { recursive: true });
  await writeFile(join(directory, DEV_DIRECTORY, 'cluster.json'), JSON.stringify(content));
}

test('without a dev cluster the default address is used', async () => {
  assert.deepEqual(await findCluster({}, {}, directory), { url: DEFAULT_NATS_URL, clusterName: DEFAULT_CLUSTER_NAME });
});

test('a dev cluster that runs here is used, unless an address is given', async () => {
  await writeClusterFile({
    natsUrl: 'nats://127.0.0.1:5555',
    processes: [{ role: 'nats', id: 'nats-1', pid: process.pid }],
  });
  assert.deepEqual(await findCluster({}, {}, directory), {
    url: 'nats://127.0.0.1:5555',
    clusterName: DEFAULT_CLUSTER_NAME,
  });
  assert.deepEqual(await findCluster({ nats: 'nats://other:1', cluster: 'two' }, {}, directory), {
    url: 'nats://other:1',
    clusterName: 'two',
  });
});

test('a variable stands in for its option, and an empty one is none', async () => {
  const environment = { PYRALOG_NATS_URL: 'nats://named:1', PYRALOG_CLUSTER: 'three' };
  assert.deepEqual(await findCluster({}, environment, directory), { url: 'nats://named:1', clusterName: 'three' });
  assert.equal((await findCluster({ nats: 'nats://other:1' }, environment, directory)).url, 'nats://other:1');
  const empty = await findCluster({}, { PYRALOG_NATS_URL: '', PYRALOG_CLUSTER: '' }, join(directory, 'elsewhere'));
  assert.deepEqual(empty, { url: DEFAULT_NATS_URL, clusterName: DEFAULT_CLUSTER_NAME });
});

test('a dev cluster that no longer runs, or a file that is something else, is passed over', async () => {
  const fallback = { url: DEFAULT_NATS_URL, clusterName: DEFAULT_CLUSTER_NAME };
  await writeClusterFile({
    natsUrl: 'nats://127.0.0.1:5555',
    processes: [{ role: 'nats', id: 'nats-1', pid: 2 ** 31 - 1 }],
  });
  assert.deepEqual(await findCluster({}, {}, directory), fallback);
  await writeClusterFile({ something: 'else' });
  assert.deepEqual(await findCluster({}, {}, directory), fallback);
});
