import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { PyralogClient } from '@pyralog/client';
import type { LocalCluster } from '@pyralog/infra';
import { Appender, readAll } from '../support/appended.ts';
import { type ClusterOptions, connectTo, eventually, startCluster, startSecond } from '../support/cluster.ts';
import { connectRaw } from '../support/raw.ts';
import { compareReplicas } from '../support/replicas.ts';

const LOG = 'demo/failover';
const PARTITIONS = 12;

interface Scene {
  readonly cluster: LocalCluster;
  readonly client: PyralogClient;
  readonly appender: Appender;
}

/** A cluster under load, before the fault. */
async function underLoad(test: TestContext, options: ClusterOptions = {}): Promise<Scene> {
  const cluster = await startCluster(test, options);
  const client = await connectTo(test, cluster);
  await client.admin.createLog(LOG, { partitions: PARTITIONS });
  await eventually('every partition is served', () => allServed(client));
  const appender = new Appender(client, LOG);
  await eventually('appends before the fault', () => appender.acknowledgements > 500);
  return { cluster, client, appender };
}

async function allServed(client: PyralogClient): Promise<boolean> {
  const { partitions } = await client.admin.describeLog(LOG);
  return partitions.every(({ status }) => status !== undefined);
}

async function appendsGoOn(appender: Appender, what: string): Promise<void> {
  const before = appender.acknowledgements;
  await eventually(`appends ${what}`, () => appender.acknowledgements > before + 500, 60_000);
}

/** The history is sound for two readers, all copies agree, and every batch has a write quorum. */
async function verify(test: TestContext, { cluster, client, appender }: Scene): Promise<void> {
  await eventually('every partition is served again', () => allServed(client), 60_000);
  await appender.stop();
  const other = await connectTo(test, cluster);
  appender.check(await readAll(client, LOG), await readAll(other, LOG));
  const raw = await connectRaw(test, cluster);
  const { copies, conflicts } = await compareReplicas(client, raw, LOG);
  assert.deepEqual(conflicts, []);
  const thin = [...copies].filter(([, count]) => count < 2);
  assert.deepEqual(thin, [], 'batches with fewer than W copies');
}

describe('failover', () => {
  it('survives sequencers that are killed in turn', async (test) => {
    const scene = await underLoad(test);
    for (const id of ['sequencer-1', 'sequencer-2', 'sequencer-1']) {
      const process = scene.cluster.process(id);
      process.kill('SIGKILL');
      await process.exited;
      await appendsGoOn(scene.appender, `without ${id}`);
      await process.start();
      await appendsGoOn(scene.appender, `with ${id} again`);
    }
    await verify(test, scene);
    const { partitions } = await scene.client.admin.describeLog(LOG);
    assert.ok(
      partitions.some(({ lastEpoch }) => lastEpoch >= 3),
      'epochs have changed',
    );
  });

  it('survives both sequencers killed at once', async (test) => {
    const scene = await underLoad(test);
    const sequencers = scene.cluster.processes.filter(({ role }) => role === 'sequencer');
    for (const process of sequencers) process.kill('SIGKILL');
    await Promise.all(sequencers.map(({ exited }) => exited));
    await Promise.all(sequencers.map((process) => process.start()));
    await appendsGoOn(scene.appender, 'after the restart');
    await verify(test, scene);
  });

  it('fences a sequencer that hangs past suspicion and wakes up', async (test) => {
    const scene = await underLoad(test);
    const zombie = scene.cluster.process('sequencer-1');
    zombie.kill('SIGSTOP');
    await eventually('the other takes over', async () => {
      const { partitions } = await scene.client.admin.describeLog(LOG);
      return partitions.every(({ sequencerId, status }) => sequencerId === 'sequencer-2' && status !== undefined);
    });
    await appendsGoOn(scene.appender, 'while it hangs');
    zombie.kill('SIGCONT');
    await appendsGoOn(scene.appender, 'after it woke up');
    await verify(test, scene);
  });

  it('survives storage nodes that are killed while a sequencer is being replaced', async (test) => {
    const scene = await underLoad(test);
    const sequencer = scene.cluster.process('sequencer-1');
    const nodes = ['storage-node-1', 'storage-node-2'].map((id) => scene.cluster.process(id));
    sequencer.kill('SIGKILL');
    for (const node of nodes) node.kill('SIGKILL');
    await Promise.all([sequencer, ...nodes].map(({ exited }) => exited));
    await Promise.all(nodes.map((node) => node.start()));
    await appendsGoOn(scene.appender, 'with the nodes back');
    await sequencer.start();
    await verify(test, scene);
  });

  it('ends the older of two sequencers that are started with the same id', async (test) => {
    const scene = await underLoad(test);
    const older = scene.cluster.process('sequencer-1');
    const newer = await startSecond(test, scene.cluster, 'sequencer-1');
    await older.exited;
    assert.equal(older.running, false);
    await appendsGoOn(scene.appender, 'with the newer one');
    assert.equal(newer.running, true);
    await verify(test, scene);
  });

  it('survives a restart of nats-server, and appends on settled epochs need no metadata', async (test) => {
    const scene = await underLoad(test, { storageNodes: 3 });
    const nats = scene.cluster.process('nats-1');
    nats.kill('SIGKILL');
    await nats.exited;
    await nats.start();
    await appendsGoOn(scene.appender, 'after the restart');
    await verify(test, scene);
  });
});
