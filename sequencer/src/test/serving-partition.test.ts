import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkFrame, crc32, decodeAppendReply, PyralogError } from '@pyralog/shared/core';
import { Producers } from '../core/producers.ts';
import { Bench, batch, copysetOf, NONCE, PARTITION } from './ports.ts';

function failure(bytes: Uint8Array | undefined): PyralogError {
  assert.ok(bytes !== undefined, 'no answer');
  try {
    decodeAppendReply(bytes);
  } catch (error) {
    assert.ok(error instanceof PyralogError);
    return error;
  }
  assert.fail('the answer is a success');
}

describe('a serving partition', () => {
  it('stamps what it publishes, once, to the copyset', () => {
    const bench = new Bench();
    bench.append(batch({ records: 5 }));
    const stores = bench.stores();
    assert.equal(stores.length, 1);
    const header = checkFrame(stores[0]?.payload ?? new Uint8Array(), crc32);
    assert.equal(header.partitionId, PARTITION);
    assert.equal(header.epoch, 3);
    assert.equal(header.nonce, NONCE);
    assert.equal(header.baseOffset, 100);
    assert.equal(header.releasedOffset, 100);
    assert.equal(new Set(copysetOf(stores[0])).size, 3);
    assert.equal(stores[0]?.replyTo, 'pyra.test.ack.sequencer-1');
  });

  it('gives out contiguous offsets', () => {
    const bench = new Bench();
    for (const records of [3, 1, 4]) bench.append(batch({ records }));
    const offsets = bench.stores().map(({ payload }) => checkFrame(payload, crc32).baseOffset);
    assert.deepEqual(offsets, [100, 103, 104]);
    assert.equal(bench.partition.status.nextOffset, 108);
  });

  it('answers no client before W copies are stored', () => {
    const bench = new Bench();
    const reply = bench.append(batch());
    const [first = '', second = ''] = copysetOf(bench.stores()[0]);
    assert.equal(bench.answer(reply), undefined);
    bench.acknowledge(first, 100);
    bench.acknowledge(first, 100);
    assert.equal(bench.answer(reply), undefined, 'one node counts once');
    bench.acknowledge(second, 100);
    const answer = bench.answer(reply);
    assert.ok(answer !== undefined);
    assert.equal(decodeAppendReply(answer).baseOffset, 100);
  });

  it('counts no copy of a node outside the copyset, of another epoch, nonce or incarnation', () => {
    const bench = new Bench();
    const reply = bench.append(batch());
    const members = copysetOf(bench.stores()[0]);
    const outsider = ['node-a', 'node-b', 'node-c', 'node-d'].find((node) => !members.includes(node)) ?? '';
    bench.acknowledge(members[0] ?? '', 100);
    bench.acknowledge(outsider, 100);
    bench.acknowledge('node-z', 100);
    bench.acknowledge(members[1] ?? '', 100, { epoch: 2 as never });
    bench.acknowledge(members[1] ?? '', 100, { nonce: 5n as never });
    bench.acknowledge(members[1] ?? '', 101);
    bench.acknowledge(members[1] ?? '', 100, {}, '00000000000000ff');
    assert.equal(bench.answer(reply), undefined);
    assert.equal(bench.partition.releasedOffset, 100);
  });

  it('releases only the contiguous prefix and answers in offset order', () => {
    const bench = new Bench();
    const replies = [0, 1, 2].map(() => bench.append(batch()));
    const stores = bench.stores();
    const store = (index: number): void => {
      for (const node of copysetOf(stores[index]).slice(0, 2)) bench.acknowledge(node, 100 + index);
    };
    store(2);
    store(1);
    assert.equal(bench.partition.releasedOffset, 100);
    assert.deepEqual(
      replies.map((reply) => bench.answer(reply)),
      [undefined, undefined, undefined],
    );
    store(0);
    assert.equal(bench.partition.releasedOffset, 103);
    const answered = bench.transport.take('reply.').map(({ subject }) => subject);
    assert.deepEqual(answered, replies);
  });

  it('carries the released offset on the next store', () => {
    const bench = new Bench();
    bench.append(batch({ records: 2 }));
    for (const node of copysetOf(bench.stores()[0])) bench.acknowledge(node, 100);
    bench.append(batch());
    assert.equal(checkFrame(bench.stores()[0]?.payload ?? new Uint8Array(), crc32).releasedOffset, 102);
    assert.equal(bench.partition.announcedOffset, 102);
  });

  it('keeps the bytes until all members have them, and no longer', () => {
    const bench = new Bench();
    bench.append(batch());
    const members = copysetOf(bench.stores()[0]);
    for (const node of members.slice(0, 2)) bench.acknowledge(node, 100);
    assert.ok(bench.window.bytes > 0);
    assert.equal([...bench.partition.outstanding()].length, 1);
    bench.acknowledge(members[2] ?? '', 100);
    assert.equal(bench.window.bytes, 0);
    assert.equal([...bench.partition.outstanding()].length, 0);
  });

  it('gives up on the oldest late copies when they hold too many bytes', () => {
    const bench = new Bench({ limits: { lateBytesMax: 1_000 } });
    for (let index = 0; index < 20; index++) {
      bench.append(batch({ valueBytes: 100 }));
      for (const node of copysetOf(bench.stores()[0]).slice(0, 2)) bench.acknowledge(node, 100 + index);
    }
    assert.ok(bench.window.bytes <= 1_000, `${bench.window.bytes} bytes are held`);
    assert.ok(bench.window.copiesGivenUp > 0);
    assert.equal(bench.partition.releasedOffset, 120);
  });

  it('refuses with overloaded when a bound is reached, and admits again after release', () => {
    const bench = new Bench({ limits: { partitionBatchesMax: 2 } });
    bench.append(batch());
    bench.append(batch());
    const refused = failure(bench.answer(bench.append(batch())));
    assert.deepEqual([refused.code, refused.retry, refused.outcome], ['overloaded', 'same', 'not-applied']);
    const stores = bench.stores();
    assert.equal(stores.length, 2);
    for (const [index, store] of stores.entries()) {
      for (const node of copysetOf(store)) bench.acknowledge(node, 100 + index);
    }
    bench.append(batch());
    assert.equal(checkFrame(bench.stores()[0]?.payload ?? new Uint8Array(), crc32).baseOffset, 102);
  });

  it('refuses with overloaded when the bytes of the partition or of the sequencer are used up', () => {
    for (const limits of [{ partitionBytesMax: 300 }, { bytesMax: 300 }]) {
      const bench = new Bench({ limits });
      bench.append(batch({ valueBytes: 150 }));
      assert.equal(failure(bench.answer(bench.append(batch({ valueBytes: 150 })))).code, 'overloaded');
    }
  });

  it('lets append times never go back', () => {
    const bench = new Bench();
    bench.append(batch());
    bench.clock.shiftWall(-5_000);
    bench.append(batch());
    const [first = 0, second = 0] = bench.stores().map(({ payload }) => checkFrame(payload, crc32).appendTimeMs);
    assert.ok(second >= first);
  });

  it('answers a repeated batch of a producer with the original offset and stores it once', () => {
    const bench = new Bench();
    const frame = batch({ producerId: 9n, records: 2 });
    const first = bench.append(frame.slice());
    const during = bench.append(frame.slice());
    const stores = bench.stores();
    assert.equal(stores.length, 1);
    assert.equal(bench.answer(during), undefined, 'waits for the outcome of the original');
    for (const node of copysetOf(stores[0]).slice(0, 2)) bench.acknowledge(node, 100);
    const after = bench.append(frame.slice());
    for (const reply of [first, during, after]) {
      assert.equal(decodeAppendReply(bench.answer(reply) ?? new Uint8Array()).baseOffset, 100);
    }
    assert.equal(bench.stores().length, 0);
    assert.equal(bench.partition.status.nextOffset, 102);
  });

  it("refuses a batch whose producer's earlier batches are missing", () => {
    const bench = new Bench();
    bench.append(batch({ producerId: 9n, sequence: 0, records: 2 }));
    const refused = failure(bench.answer(bench.append(batch({ producerId: 9n, sequence: 5 }))));
    assert.deepEqual([refused.code, refused.retry, refused.outcome], ['unavailable', 'same', 'not-applied']);
    assert.equal(refused.fields.expectedSequence, 2);
    bench.append(batch({ producerId: 9n, sequence: 2 }));
    assert.equal(bench.stores().length, 2);
  });

  it('takes sequences around the end of their range', () => {
    const bench = new Bench();
    bench.append(batch({ producerId: 9n, sequence: 0xffff_fffe, records: 4 }));
    bench.append(batch({ producerId: 9n, sequence: 2 }));
    assert.equal(bench.stores().length, 2);
  });

  it('refuses an older epoch of a producer, and begins anew with a newer one', () => {
    const bench = new Bench();
    bench.append(batch({ producerId: 9n, producerEpoch: 1, sequence: 50 }));
    const refused = failure(bench.answer(bench.append(batch({ producerId: 9n, producerEpoch: 0, sequence: 51 }))));
    assert.deepEqual([refused.code, refused.retry], ['fenced', 'never']);
    bench.append(batch({ producerId: 9n, producerEpoch: 2, sequence: 0 }));
    assert.equal(bench.stores().length, 2);
  });

  it('refuses bad frames with a typed error and goes on', () => {
    const bench = new Bench();
    const good = batch({ records: 3 });
    const damaged = good.slice();
    damaged[damaged.byteLength - 1] = (damaged[damaged.byteLength - 1] ?? 0) ^ 1;
    for (const bad of [new Uint8Array(0), new Uint8Array(50), good.subarray(0, 100), damaged]) {
      assert.equal(failure(bench.answer(bench.append(bad))).code, 'corrupt');
    }
    assert.equal(bench.stores().length, 0);
    bench.append(good);
    assert.equal(bench.stores().length, 1);
  });

  it('remembers across owners what a producer had appended', () => {
    const before = new Bench();
    before.append(batch({ producerId: 9n, sequence: 0, records: 2 }));
    before.append(batch({ producerId: 9n, sequence: 2 }));
    const [released, unreleased] = before.stores();
    for (const node of copysetOf(released)) before.acknowledge(node, 100);
    const header = checkFrame(unreleased?.payload ?? new Uint8Array(), crc32);

    const producers = new Producers();
    producers.restore(before.partition.producerSnapshot(), [header]);
    const after = new Bench({ fragment: { start: 103 as never }, record: { producers: producers.snapshot() } });
    const answers = [0, 2].map((sequence) =>
      after.answer(after.append(batch({ producerId: 9n, sequence, records: sequence === 0 ? 2 : 1 }))),
    );
    assert.deepEqual(
      answers.map((answer) => decodeAppendReply(answer ?? new Uint8Array()).baseOffset),
      [100, 102],
    );
    assert.equal(after.stores().length, 0, 'nothing is stored again');
    after.append(batch({ producerId: 9n, sequence: 3 }));
    assert.equal(checkFrame(after.stores()[0]?.payload ?? new Uint8Array(), crc32).baseOffset, 103);
  });

  it('leaves unreleased batches out of the snapshot of its producers', () => {
    const bench = new Bench();
    bench.append(batch({ producerId: 9n, sequence: 0, records: 2 }));
    bench.append(batch({ producerId: 9n, sequence: 2 }));
    for (const node of copysetOf(bench.stores()[0])) bench.acknowledge(node, 100);
    const [snapshot] = bench.partition.producerSnapshot();
    assert.equal(snapshot?.nextSequence, 2);
    assert.equal(snapshot?.batches.length, 1);
  });

  it('drains: takes no more, and is done when everything admitted is released', async () => {
    const bench = new Bench();
    bench.append(batch());
    const store = bench.stores()[0];
    let done = false;
    const drained = bench.partition.drain().then(() => {
      done = true;
    });
    const refused = failure(bench.answer(bench.append(batch())));
    assert.deepEqual([refused.code, refused.retry, refused.outcome], ['not-sequencer', 'refresh', 'not-applied']);
    await Promise.resolve();
    assert.equal(done, false);
    for (const node of copysetOf(store).slice(0, 2)) bench.acknowledge(node, 100);
    await drained;
    assert.equal(done, true);
  });

  it('never answers with success once it has stopped', () => {
    const bench = new Bench();
    const reply = bench.append(batch());
    const store = bench.stores()[0];
    bench.partition.stop();
    const refused = failure(bench.answer(reply));
    assert.deepEqual([refused.code, refused.outcome], ['fenced', 'unknown']);
    for (const node of copysetOf(store)) bench.acknowledge(node, 100);
    assert.equal(bench.answer(reply), undefined);
    assert.equal(bench.partition.releasedOffset, 100);
    assert.equal(bench.window.bytes, 0);
  });

  it('reports the epoch that fences it', () => {
    const bench = new Bench();
    bench.append(batch());
    bench.acknowledge('node-a', 100, { verdict: 'fenced', sealedEpoch: 4 as never });
    assert.deepEqual(bench.fencedBy, [4]);
  });
});
