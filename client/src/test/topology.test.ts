import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Epoch, type PartitionTopology, silentLogger } from '@pyralog/shared/core';
import { PartitionStatuses } from '../core/partition-statuses.ts';
import type { ClientPorts } from '../core/ports.ts';
import { type CachedTopology, Topologies } from '../core/topology.ts';
import { FakeCluster } from './support/fake-cluster.ts';

const NAME = { namespace: 'test', name: 'log' };

function open(cluster: FakeCluster): { topology: CachedTopology; ports: ClientPorts } {
  const { subjects, clock, random } = cluster;
  const transport = cluster.network.connect('client');
  const ports = { transport, subjects, clock, random, crc32: () => 0, logger: silentLogger };
  return { topology: new Topologies(ports).open(NAME), ports };
}

test('a topology of several pages is put together in order', async () => {
  const cluster = new FakeCluster({ partitions: 11 });
  const { topology } = open(cluster);
  const view = await cluster.clock.until(topology.get());
  assert.deepEqual(
    view.partitions.map(({ partition }) => partition),
    Array.from({ length: 11 }, (_, partition) => partition),
  );
  assert.equal(cluster.topologyRequests, 4);
});

test('whoever asks while a fetch is under way gets its result', async () => {
  const cluster = new FakeCluster();
  const { topology } = open(cluster);
  const views = await cluster.clock.until(Promise.all(Array.from({ length: 50 }, () => topology.get())));
  assert.equal(new Set(views).size, 1);
  assert.equal(cluster.topologyRequests, 1);
  const stale = views[0];
  const newer = await cluster.clock.until(Promise.all(Array.from({ length: 50 }, () => topology.refresh(stale))));
  assert.equal(new Set(newer).size, 1);
  assert.equal(await topology.refresh(stale), newer[0], 'what is newer than the stale view is not fetched again');
  assert.equal(cluster.topologyRequests, 2);
});

test('many hints lead to few fetches', async () => {
  const cluster = new FakeCluster({ partitions: 3 });
  const { topology } = open(cluster);
  await cluster.clock.until(topology.get());
  const before = cluster.topologyRequests;
  for (let hint = 0; hint < 1_000; hint++) cluster.hint(hint % 3);
  await cluster.clock.pass(2_000);
  const fetched = cluster.topologyRequests - before;
  assert.ok(fetched >= 1 && fetched <= 3, `${fetched} fetches`);
});

test('a hint that comes during a fetch leads to another one', async () => {
  const cluster = new FakeCluster();
  cluster.network.fate = (sent) => (sent.from.startsWith('s-') && sent.subject.startsWith('_INBOX') ? 150 : 0);
  const { topology } = open(cluster);
  const first = topology.get();
  await cluster.clock.pass(50);
  cluster.closeEpoch(0);
  const view = await cluster.clock.until(first);
  assert.equal(view.partitions[0]?.state, 'serving', 'it was answered before the change');
  await cluster.clock.pass(2_000);
  assert.equal(topology.view?.partitions[0]?.state, 'unowned');
});

test('fetches that bring no help grow apart', async () => {
  const cluster = new FakeCluster();
  const { topology } = open(cluster);
  let view = await cluster.clock.until(topology.get());
  const startMs = cluster.clock.monotonicMs();
  for (let attempt = 0; attempt < 20; attempt++) view = await cluster.clock.until(topology.refresh(view));
  assert.ok(cluster.clock.monotonicMs() - startMs > 10_000);
});

test('a sequencer that lags behind does not take knowledge back at once', async () => {
  const cluster = new FakeCluster({ partitions: 2 });
  const { topology } = open(cluster);
  cluster.closeEpoch(0);
  cluster.open(0, 1);
  cluster.closeEpoch(1);
  const known = await cluster.clock.until(topology.get());
  const [first, second] = known.partitions;
  assert.ok(first && second);
  const lagging: PartitionTopology[] = [
    { ...first, lastEpoch: 1 as Epoch, fragments: [] },
    { ...second, state: 'serving', fragments: [{ ...(first.fragments[0] as PartitionTopology['fragments'][0]) }] },
  ];
  for (const sequencer of cluster.sequencers) sequencer.administer = () => ({ log: cluster.log, partitions: lagging });
  const after = await cluster.clock.until(topology.refresh(known));
  assert.deepEqual(after.partitions, known.partitions);
});

test('what sequencers keep saying is believed, although it seems older', async () => {
  const cluster = new FakeCluster();
  const { topology } = open(cluster);
  cluster.closeEpoch(0);
  cluster.open(0, 1);
  let view = await cluster.clock.until(topology.get());
  cluster.partition(0).lastEpoch = 0;
  cluster.partition(0).fragments = [];
  cluster.open(0, 0);
  const startMs = cluster.clock.monotonicMs();
  while (view.partitions[0]?.lastEpoch !== 1) view = await cluster.clock.until(topology.refresh(view));
  const tookMs = cluster.clock.monotonicMs() - startMs;
  assert.ok(tookMs >= 5_000 && tookMs < 10_000);
});

test('a log that was deleted and created again is another log', async () => {
  const cluster = new FakeCluster();
  const { topology } = open(cluster);
  const known = await cluster.clock.until(topology.get());
  const [first] = known.partitions;
  const firstPartitionId = cluster.log.firstPartitionId + 9;
  const log = { ...cluster.log, firstPartitionId };
  const partitions = [{ ...first, partitionId: firstPartitionId, lastEpoch: 0, fragments: [] }];
  for (const sequencer of cluster.sequencers) sequencer.administer = () => ({ log, partitions });
  const after = await cluster.clock.until(topology.refresh(known));
  assert.equal(after.partitions[0]?.partitionId, firstPartitionId);
});

test('an unused topology listens to nothing', async () => {
  const cluster = new FakeCluster();
  const { topology, ports } = open(cluster);
  await cluster.clock.until(topology.get());
  topology.release();
  const requests = cluster.topologyRequests;
  cluster.hint(0);
  await cluster.clock.pass(1_000);
  assert.equal(cluster.topologyRequests, requests);
  assert.equal(cluster.network.subscriptionsOf(ports.transport as never), 0);
});

test('status questions of one turn go to each owner in one request', async () => {
  const cluster = new FakeCluster({ partitions: 6 });
  const { ports } = open(cluster);
  let requests = 0;
  const { onSent } = cluster.network;
  cluster.network.onSent = (sent) => {
    onSent(sent);
    if (sent.subject.includes('.partitions.')) requests++;
  };
  const statuses = new PartitionStatuses(ports);
  const asked = cluster.partitions.map(({ partitionId, owner }) => {
    assert.ok(owner);
    return statuses.ask('test', owner.id, partitionId);
  });
  const [other] = cluster.sequencers;
  assert.ok(other);
  const foreign = statuses.ask('test', other.id, 99 as never);
  const answers = await cluster.clock.until(Promise.all(asked));
  assert.deepEqual(
    answers.map((status) => status?.partitionId),
    cluster.partitions.map(({ partitionId }) => partitionId),
  );
  assert.equal(await cluster.clock.until(foreign), undefined);
  assert.equal(requests, 2);
});
