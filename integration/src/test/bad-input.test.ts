import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  encodeMessage,
  LIMITS,
  PyralogError,
  type SequencerId,
  type StorageNodeId,
  writeClientHeader,
} from '@pyralog/shared/core';
import { nativeCrc32 } from '@pyralog/shared/node';
import { readAll } from '../support/appended.ts';
import { pyralog } from '../support/cli.ts';
import { connectTo, eventually, startCluster } from '../support/cluster.ts';
import { answerTo, connectRaw, subjects } from '../support/raw.ts';

/** A client's frame around `body`, with checksums that are right. */
function frameOf(body: Uint8Array, recordCount: number): Uint8Array {
  const frame = new Uint8Array(96 + body.byteLength);
  frame.set(body, 96);
  const header = {
    codec: 'none',
    recordCount,
    producerId: 0n,
    producerEpoch: 0,
    baseSequence: 0,
    baseTimestampMs: 0,
  } as const;
  writeClientHeader(frame, { ...header, bodyBytes: body.byteLength }, nativeCrc32);
  return frame;
}

const ONE_RECORD = Uint8Array.of(0x81, 0x83, 0x00, 0xf6, 0x41, 0x78);

describe('bad input', () => {
  it('sent straight to services gets a typed error or is dropped, and others are served on', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3, sequencers: 1 });
    const client = await connectTo(test, cluster);
    const raw = await connectRaw(test, cluster);
    await client.admin.createLog('demo/hardened', { partitions: 1 });
    const producer = client.producer('demo/hardened');
    await producer.append({ value: 'before' });
    const { partitions } = await client.admin.describeLog('demo/hardened');
    const partitionId = partitions[0]?.partitionId;
    assert.ok(partitionId !== undefined);
    const subject = subjects.append('demo', 'sequencer-1' as SequencerId, partitionId);

    const good = frameOf(ONE_RECORD, 1);
    const flipped = good.slice();
    flipped[100] = (flipped[100] ?? 0) ^ 0x10;
    const bombs = {
      empty: new Uint8Array(0),
      noise: Uint8Array.from({ length: 5_000 }, (_, index) => (index * 7919) & 0xff),
      truncated: good.subarray(0, good.byteLength - 1),
      flipped,
      'no records': frameOf(Uint8Array.of(0x80), 0),
      'too many records': frameOf(ONE_RECORD, LIMITS.batchRecordsMax + 1),
      'another count': frameOf(ONE_RECORD, 2),
      'deep nesting': frameOf(new Uint8Array(100_000).fill(0x81), 1),
      'empty maps': frameOf(new Uint8Array(500_000).fill(0xa0), 1),
      'huge length': frameOf(Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff), 1),
      'endless array': frameOf(Uint8Array.of(0x9f, 0xff), 1),
    };
    for (const [name, payload] of Object.entries(bombs)) {
      const code = await answerTo(raw, subject, payload);
      assert.ok(['corrupt', 'invalid'].includes(code), `${name}: ${code}`);
    }
    assert.equal(
      await answerTo(raw, subjects.append('other', 'sequencer-1' as SequencerId, partitionId), good),
      'not-sequencer',
    );

    for (const payload of Object.values(bombs)) {
      raw.publish(
        subjects.store('demo', partitionId, ['storage-node-1' as StorageNodeId]),
        payload,
        subjects.acks('x' as SequencerId),
      );
      raw.publish(subjects.resend('storage-node-2' as StorageNodeId), payload);
      raw.publish(subjects.acks('sequencer-1' as SequencerId), payload);
      raw.publish(subjects.heartbeat('storage-node', 'storage-node-1'), payload);
      raw.publish(subjects.read('demo', 'storage-node-1' as StorageNodeId), payload, raw.createInbox());
      raw.publish(subjects.admin('demo'), payload, raw.createInbox());
      raw.publish(subjects.cluster, payload, raw.createInbox());
      raw.publish(subjects.partitions('demo', 'sequencer-1' as SequencerId), payload, raw.createInbox());
      raw.publish(subjects.release('demo', partitionId), payload);
      raw.publish(subjects.topology('demo', 'hardened'), payload);
    }
    raw.publish(
      subjects.admin('demo'),
      encodeMessage({ op: 'create-log', name: '../x', options: { partitions: 1e99 } }),
      raw.createInbox(),
    );
    await raw.flush();

    await producer.append({ value: 'after' });
    const values = (await readAll(client, 'demo/hardened')).map(({ value }) => new TextDecoder().decode(value));
    assert.deepEqual(values, ['before', 'after']);
    assert.ok(
      cluster.processes.every(({ running }) => running),
      'every process lives',
    );
  });

  it('by a user gets one line with code and remedy, and the exit code', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3, sequencers: 1 });
    const { natsUrl } = cluster;
    const cases: { args: string[]; code: number; says: RegExp; stdin?: string }[] = [
      { args: ['log', 'describe', 'demo/none'], code: 1, says: /no such log.*\[invalid\]/ },
      { args: ['consume', 'demo/none'], code: 1, says: /no such log.*\[invalid\]/ },
      { args: ['produce', 'demo/none'], code: 1, says: /no such log.*\[invalid\]/, stdin: 'x\n' },
      { args: ['log', 'create', 'no-slash', '--partitions', '1'], code: 1, says: /namespace\/name.*\[invalid\]/ },
      { args: ['log', 'create', 'a/b c', '--partitions', '1'], code: 1, says: /log name.*\[invalid\]/ },
      {
        args: ['log', 'create', 'a/b', '--partitions', '1', '--replication-factor', '4'],
        code: 1,
        says: /storage nodes of the cluster.*limit=3.*\[invalid\]/,
      },
      {
        args: ['log', 'create', 'a/b', '--partitions', '1', '--write-quorum', '4'],
        code: 1,
        says: /writeQuorum.*\[invalid\]/,
      },
      { args: ['log', 'create', 'a/b', '--partitions', '0'], code: 2, says: /partitions/ },
      { args: ['log', 'create', 'a/b', '--partitions', 'many'], code: 2, says: /partitions/ },
      { args: ['frobnicate'], code: 2, says: /frobnicate/ },
    ];
    for (const { args, code, says, stdin } of cases) {
      const result = await pyralog(args, { natsUrl, stdin: stdin ?? '' });
      assert.equal(result.code, code, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
      assert.match(result.stderr, says);
      if (code === 1) assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr);
    }
    const twice = ['log', 'create', 'a/twice', '--partitions', '1'];
    assert.equal((await pyralog(twice, { natsUrl })).code, 0);
    assert.match((await pyralog(twice, { natsUrl })).stderr, /exists already.*\[invalid\]/);
  });

  it('a record over the limit is refused with its size and the limit, and the rest goes through', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3, sequencers: 1 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/sizes', { partitions: 1 });
    const producer = client.producer('demo/sizes');
    const small = producer.append({ value: 'small' });
    const error = await producer
      .append({ value: new Uint8Array(LIMITS.recordBytesMax + 1) })
      .catch((reason: unknown) => reason);
    assert.ok(error instanceof PyralogError);
    assert.equal(error.code, 'invalid');
    assert.equal(error.fields.limit, LIMITS.recordBytesMax);
    assert.ok(Number(error.fields.size) > LIMITS.recordBytesMax);
    assert.equal((await small).offset, 0);
    const largest = new Uint8Array(LIMITS.recordBytesMax - 64).fill(0x61);
    assert.equal((await producer.append({ value: largest })).offset, 1);
    const records = await readAll(client, 'demo/sizes');
    assert.equal(records[1]?.value?.byteLength, largest.byteLength);
  });

  it('a NATS server that is not there is said within seconds', async () => {
    const result = await pyralog(['log', 'list'], { natsUrl: 'nats://127.0.0.1:9' });
    assert.equal(result.code, 1);
    assert.match(result.stderr, /\[unavailable\]/);
    assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr);
  });

  it('a deleted log is gone, and its name can be used again from offset 0', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3, sequencers: 2 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/reborn', { partitions: 4 });
    await client.producer('demo/reborn').appendBatch([{ value: 'old' }]);
    await client.admin.deleteLog('demo/reborn');
    await assert.rejects(client.admin.describeLog('demo/reborn'), { code: 'invalid' });
    await eventually('the name is free', async () => {
      try {
        await client.admin.createLog('demo/reborn', { partitions: 1 });
        return true;
      } catch (error) {
        assert.ok(error instanceof PyralogError && error.code === 'unavailable', String(error));
        return false;
      }
    });
    const fresh = await connectTo(test, cluster);
    const { offset } = await fresh.producer('demo/reborn').append({ value: 'new' });
    assert.equal(offset, 0);
    assert.equal((await readAll(fresh, 'demo/reborn')).length, 1);
  });
});
