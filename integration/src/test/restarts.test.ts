import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Appender, readAll } from '../support/appended.ts';
import { pyralog } from '../support/cli.ts';
import { connectTo, eventually, startCluster } from '../support/cluster.ts';

describe('nothing acknowledged is lost', () => {
  it('when every storage node is killed at once during a produce and started again', async (test) => {
    const cluster = await startCluster(test);
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/killed', { partitions: 4 });
    const appender = new Appender(client, 'demo/killed');
    await eventually('appends before the kill', () => appender.acknowledgements > 500);
    const nodes = cluster.processes.filter(({ role }) => role === 'storage-node');
    for (const node of nodes) node.kill('SIGKILL');
    await Promise.all(nodes.map((node) => node.exited));
    const atKill = appender.acknowledgements;
    await Promise.all(nodes.map((node) => node.start()));
    await eventually('appends after the restart', () => appender.acknowledgements > atKill + 500, 60_000);
    await appender.stop();
    assert.equal(appender.count('acknowledged'), appender.appends.length, 'every append ends acknowledged');
    appender.check(await readAll(client, 'demo/killed'));
  });

  it('when the whole cluster is stopped in good order and started again', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/restarted', { partitions: 8 });
    const appender = new Appender(client, 'demo/restarted');
    await eventually('appends before the stop', () => appender.acknowledgements > 500);
    await Promise.all(cluster.processes.filter(({ role }) => role === 'sequencer').map((process) => process.stop()));
    await Promise.all(cluster.processes.filter(({ role }) => role === 'storage-node').map((process) => process.stop()));
    const atStop = appender.acknowledgements;
    await Promise.all(cluster.processes.filter(({ role }) => role !== 'nats-server').map((process) => process.start()));
    await eventually('appends after the start', () => appender.acknowledgements > atStop + 500, 60_000);
    await appender.stop();
    appender.check(await readAll(client, 'demo/restarted'));
    const { partitions } = await client.admin.describeLog('demo/restarted');
    assert.ok(
      partitions.every(({ lastEpoch }) => lastEpoch >= 2),
      'a restart opens new epochs',
    );
  });

  it('when NATS is gone in the middle of a produce and comes back', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/nats-gone', { partitions: 4 });
    const appender = new Appender(client, 'demo/nats-gone');
    await eventually('appends before', () => appender.acknowledgements > 500);
    const nats = cluster.process('nats-1');
    nats.kill('SIGKILL');
    await nats.exited;
    await nats.start();
    const atRestart = appender.acknowledgements;
    await eventually('appends after', () => appender.acknowledgements > atRestart + 500, 60_000);
    await appender.stop();
    appender.check(await readAll(client, 'demo/nats-gone'));
  });
});

describe('ownership', () => {
  it('is shared by the live sequencers, and handed over in good order without a failed append', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/shared', { partitions: 32 });
    const owners = async (): Promise<Map<string, number>> => {
      const counts = new Map<string, number>();
      for (const { sequencerId, state } of (await client.admin.describeLog('demo/shared')).partitions) {
        if (sequencerId !== undefined && state === 'serving')
          counts.set(sequencerId, (counts.get(sequencerId) ?? 0) + 1);
      }
      return counts;
    };
    const served = (counts: Map<string, number>): number => [...counts.values()].reduce((sum, count) => sum + count, 0);
    await eventually('all partitions are served', async () => served(await owners()) === 32);
    assert.equal((await owners()).size, 2, 'both sequencers own some');
    const appender = new Appender(client, 'demo/shared');
    await eventually('appends before', () => appender.acknowledgements > 500);
    await cluster.process('sequencer-2').stop();
    await eventually('one owns all', async () => (await owners()).get('sequencer-1') === 32);
    const alone = appender.acknowledgements;
    await eventually('appends with one', () => appender.acknowledgements > alone + 500);
    await cluster.process('sequencer-2').start();
    await eventually('both own some again', async () => {
      const counts = await owners();
      return counts.size === 2 && served(counts) === 32;
    });
    await appender.stop();
    assert.equal(appender.count('acknowledged'), appender.appends.length, 'no append failed');
    appender.check(await readAll(client, 'demo/shared'));
  });
});

describe('an operator', () => {
  it('drains a sequencer, resumes it and moves a partition, and no append fails', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/moved', { partitions: 8 });
    const owners = async (): Promise<(string | undefined)[]> =>
      (await client.admin.describeLog('demo/moved')).partitions.map(({ sequencerId, status }) => status && sequencerId);
    await eventually('all are served', async () => (await owners()).every((owner) => owner !== undefined));
    const appender = new Appender(client, 'demo/moved');
    await eventually('appends before', () => appender.acknowledgements > 300);

    const { natsUrl } = cluster;
    assert.equal((await pyralog(['sequencer', 'drain', 'sequencer-1'], { natsUrl })).code, 0);
    await eventually('the other owns all', async () => (await owners()).every((owner) => owner === 'sequencer-2'));
    assert.equal((await pyralog(['sequencer', 'resume', 'sequencer-1'], { natsUrl })).code, 0);
    await eventually('it takes part again', async () => (await owners()).includes('sequencer-1'));

    const target = (await owners())[3] === 'sequencer-1' ? 'sequencer-2' : 'sequencer-1';
    const moved = await pyralog(['partition', 'move', 'demo/moved', '3', '--to', target], { natsUrl });
    assert.equal(moved.code, 0, moved.stderr);
    await eventually('the partition is moved', async () => (await owners())[3] === target);
    const nowhere = await pyralog(['partition', 'move', 'demo/moved', '3', '--to', 'sequencer-9'], { natsUrl });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /\[invalid\]/);

    await eventually('appends after', () => appender.acknowledgements > 1_000);
    await appender.stop();
    assert.equal(appender.count('acknowledged'), appender.appends.length, 'no append failed');
    appender.check(await readAll(client, 'demo/moved'));
  });
});
