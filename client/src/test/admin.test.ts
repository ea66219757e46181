import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyralogError } from '@pyralog/shared/core';
import { FakeCluster, LOG } from './support/fake-cluster.ts';
import { fill } from './support/fill.ts';

test('a log is described with what its owners say', async () => {
  const cluster = new FakeCluster({ partitions: 4 });
  await fill(cluster, { count: 5, partition: 1 });
  cluster.closeEpoch(2);
  const { client } = cluster.client();
  const { log, partitions } = await cluster.clock.until(client.admin.describeLog(LOG));
  assert.deepEqual(log, cluster.log);
  assert.deepEqual(
    partitions.map(({ state, status }) => [state, status?.releasedOffset]),
    [
      ['serving', 0],
      ['serving', 5],
      ['unowned', undefined],
      ['serving', 0],
    ],
  );
});

test('a log is described although an owner does not answer', async () => {
  const cluster = new FakeCluster({ partitions: 2 });
  cluster.network.fate = (sent) => (sent.subject.includes('.partitions.') ? 'lost' : 0);
  const { partitions } = await cluster.clock.until(cluster.client().client.admin.describeLog(LOG));
  assert.deepEqual(
    partitions.map(({ status }) => status),
    [undefined, undefined],
  );
});

test('requests carry what they ask for, and names are checked before', async () => {
  const cluster = new FakeCluster();
  const seen: unknown[] = [];
  for (const sequencer of cluster.sequencers) {
    sequencer.administer = (request) => {
      seen.push(request);
      const { op } = request as { op: string };
      return op === 'list-logs' ? { logs: [cluster.log] } : op === 'create-log' ? { log: cluster.log } : {};
    };
  }
  const { admin } = cluster.client().client;
  const options = { partitions: 3, durability: 'memory' } as const;
  assert.deepEqual(await cluster.clock.until(admin.createLog('test/log', options)), cluster.log);
  await cluster.clock.until(admin.deleteLog('test/log'));
  assert.deepEqual(await cluster.clock.until(admin.listLogs()), [cluster.log]);
  assert.deepEqual(await cluster.clock.until(admin.listLogs('test')), [cluster.log]);
  assert.deepEqual(seen, [
    { op: 'create-log', name: 'log', options },
    { op: 'delete-log', name: 'log' },
    { op: 'list-logs' },
    { op: 'list-logs' },
  ]);
  for (const bad of ['log', '/log', 'test/', 'a b/log', 'test/.log', 'test/*']) {
    await assert.rejects(admin.createLog(bad, { partitions: 1 }), { code: 'invalid' });
  }
  await assert.rejects(admin.listLogs('a b'), { code: 'invalid' });
  await assert.rejects(admin.createLog(LOG, { partitions: Number.NaN }), { code: 'invalid' });
});

test('a refusal that cannot change is passed on at once, another is repeated for a while', async () => {
  const cluster = new FakeCluster();
  const { admin } = cluster.client().client;
  let asked = 0;
  const refuse = (error: PyralogError): void => {
    for (const sequencer of cluster.sequencers) {
      sequencer.administer = () => {
        asked++;
        throw error;
      };
    }
  };
  refuse(new PyralogError({ code: 'invalid', message: 'log exists already' }));
  await assert.rejects(cluster.clock.until(admin.createLog(LOG, { partitions: 1 })), { message: 'log exists already' });
  assert.equal(asked, 1);
  refuse(new PyralogError({ code: 'overloaded', message: 'too many requests' }));
  const startMs = cluster.clock.monotonicMs();
  await assert.rejects(cluster.clock.until(admin.createLog(LOG, { partitions: 1 })), { code: 'overloaded' });
  assert.ok(asked > 3);
  assert.ok(cluster.clock.monotonicMs() - startMs < 3_000);
});

test('a creation without an answer is not repeated, a query is', async () => {
  const cluster = new FakeCluster();
  let sent = 0;
  const { onSent } = cluster.network;
  cluster.network.onSent = (message) => {
    onSent(message);
    if (message.subject.includes('.admin.')) sent++;
  };
  cluster.network.fate = (message) => (message.subject.includes('.admin.') ? 'lost' : 0);
  const { admin } = cluster.client().client;
  await assert.rejects(cluster.clock.until(admin.createLog(LOG, { partitions: 1 })), {
    code: 'timeout',
    outcome: 'unknown',
  });
  assert.equal(sent, 1);
  await assert.rejects(cluster.clock.until(admin.describeLog(LOG)), { code: 'timeout' });
  assert.ok(sent > 2);
});

test('without any sequencer every request fails soon, as unavailable', async () => {
  const cluster = new FakeCluster();
  for (const sequencer of cluster.sequencers) sequencer.transport.disconnect();
  const { admin } = cluster.client().client;
  await assert.rejects(cluster.clock.until(admin.clusterStatus(), 6_000), { code: 'unavailable' });
  await assert.rejects(cluster.clock.until(admin.createLog(LOG, { partitions: 1 }), 6_000), { code: 'unavailable' });
});
