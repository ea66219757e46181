import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StorageNodeHeartbeat } from '@pyralog/shared/core';
import { Subjects } from '@pyralog/shared/core';
import { Liveness } from '../core/liveness.ts';
import { Resender } from '../core/resender.ts';
import { Bench, batch, copysetOf } from './ports.ts';

function heartbeat(id: string): StorageNodeHeartbeat {
  return {
    role: 'storage-node',
    id: id as StorageNodeHeartbeat['id'],
    instance: '0000000000000001' as StorageNodeHeartbeat['instance'],
    state: 'serving',
    startedAtMs: 0,
    batches: 0,
    storedRecords: 0,
    storedBytes: 0,
    segments: 0,
    freeBytes: 0,
    rssBytes: 0,
  };
}

function setUp() {
  const bench = new Bench();
  const liveness = new Liveness(bench.clock, 500);
  const resender = new Resender({
    transport: bench.transport,
    subjects: new Subjects('test'),
    clock: bench.clock,
    liveness,
  });
  const resends = (): string[] =>
    bench.transport.take('pyra.test.resend.').map(({ subject }) => subject.split('.')[3] ?? '');
  return { bench, liveness, resender, resends };
}

describe('the resender', () => {
  it('sends a late batch again to the nodes that lack it, and only to those', () => {
    const { bench, liveness, resender, resends } = setUp();
    bench.append(batch());
    const [first = '', second = '', third = ''] = copysetOf(bench.stores()[0]);
    bench.acknowledge(second, 100);
    resender.tick([bench.partition]);
    assert.deepEqual(resends(), [], 'not before its time');
    bench.clock.advance(600);
    for (const node of [first, second, third]) liveness.heard(heartbeat(node));
    resender.tick([bench.partition]);
    assert.deepEqual(resends().sort(), [first, third].sort());
  });

  it('waits longer after each time', () => {
    const { bench, liveness, resender, resends } = setUp();
    bench.append(batch());
    const members = copysetOf(bench.stores()[0]);
    let rounds = 0;
    for (let step = 0; step < 100; step++) {
      bench.clock.advance(100);
      for (const node of members) liveness.heard(heartbeat(node));
      resender.tick([bench.partition]);
      if (resends().length > 0) rounds++;
    }
    assert.ok(rounds >= 4 && rounds <= 6, `${rounds} rounds in 10 s`);
  });

  it('sends nothing to a silent node, and gives up on it for released batches', () => {
    const { bench, liveness, resender, resends } = setUp();
    bench.append(batch());
    const [first = '', second = ''] = copysetOf(bench.stores()[0]);
    bench.acknowledge(first, 100);
    bench.acknowledge(second, 100);
    for (let step = 0; step < 15; step++) {
      bench.clock.advance(1_000);
      liveness.heard(heartbeat(first));
      resender.tick([bench.partition]);
    }
    assert.deepEqual(resends(), []);
    assert.equal(bench.window.bytes, 0);
    assert.equal(bench.window.copiesGivenUp, 1);
  });

  it('keeps an unreleased batch however long its nodes are silent', () => {
    const { bench, liveness, resender, resends } = setUp();
    const reply = bench.append(batch());
    const members = copysetOf(bench.stores()[0]);
    for (let step = 0; step < 100; step++) {
      bench.clock.advance(1_000);
      resender.tick([bench.partition]);
    }
    assert.equal(bench.answer(reply), undefined);
    for (const node of members) liveness.heard(heartbeat(node));
    resender.tick([bench.partition]);
    assert.deepEqual(resends().sort(), members.toSorted());
    for (const node of members) bench.acknowledge(node, 100);
    assert.ok(bench.answer(reply) !== undefined);
  });
});
