import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { PyralogClient } from '@pyralog/client';
import type { LocalCluster } from '@pyralog/infra';
import { Appender, readAll } from '../support/appended.ts';
import { connectTo, eventually, startCluster, temporaryDirectory } from '../support/cluster.ts';

const LOG = 'demo/restored';

function natsStore(cluster: LocalCluster): string {
  return path.join(cluster.directory, 'nats');
}

async function stopServices(cluster: LocalCluster): Promise<void> {
  for (const role of ['sequencer', 'storage-node', 'nats-server'] as const) {
    await Promise.all(cluster.processes.filter((process) => process.role === role).map((process) => process.stop()));
  }
}

async function startServices(cluster: LocalCluster): Promise<void> {
  await cluster.process('nats-1').start();
  const services = cluster.processes.filter((process) => process.role !== 'nats-server');
  await Promise.all(services.map((process) => process.start()));
}

async function states(client: PyralogClient): Promise<string[]> {
  const { partitions } = await client.admin.describeLog(LOG);
  return partitions.map(({ state, status }) => (status === undefined ? state : 'served'));
}

describe('metadata that went back in time', () => {
  it('cannot revive an old epoch: a partition whose nodes know a later reign halts, loudly, and overwrites nothing', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3, sequencers: 1 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog(LOG, { partitions: 2 });
    const appender = new Appender(client, LOG);
    await eventually('appends in the first epoch', () => appender.acknowledgements > 200);
    await appender.stop();

    await stopServices(cluster);
    const backup = path.join(await temporaryDirectory(test), 'nats');
    await cp(natsStore(cluster), backup, { recursive: true });
    await startServices(cluster);
    const later = await connectTo(test, cluster);
    await eventually('the second epoch', async () => (await states(later)).every((state) => state === 'served'));
    const second = new Appender(later, LOG, { name: 'later' });
    await eventually('appends in the second epoch', () => second.acknowledgements > 200);
    await second.stop();
    const before = await readAll(later, LOG);

    await stopServices(cluster);
    const current = path.join(await temporaryDirectory(test), 'nats');
    await cp(natsStore(cluster), current, { recursive: true });
    await rm(natsStore(cluster), { recursive: true });
    await cp(backup, natsStore(cluster), { recursive: true });
    await startServices(cluster);
    const restored = await connectTo(test, cluster);
    await eventually('every partition halts', async () =>
      (await states(restored)).every((state) => state === 'halted'),
    );
    await assert.rejects(restored.producer(LOG, { deliveryTimeoutMs: 2_000 }).append({ key: 'k', value: 'x' }));
    const { partitions } = await restored.admin.describeLog(LOG);
    assert.match(partitions[0]?.halted ?? '', /holds batches of an epoch that the metadata does not know/);

    // With the metadata as it was, everything is there: nothing was overwritten.
    await stopServices(cluster);
    await rm(natsStore(cluster), { recursive: true });
    await cp(current, natsStore(cluster), { recursive: true });
    await startServices(cluster);
    const again = await connectTo(test, cluster);
    await eventually('it is served again', async () => (await states(again)).every((state) => state === 'served'));
    const values = (records: typeof before) =>
      records.map(({ partition, offset, value }) => `${partition}/${offset} ${value}`);
    assert.deepEqual(values(await readAll(again, LOG)).sort(), values(before).sort());
  });
});
