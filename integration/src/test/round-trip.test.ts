import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { partitionOfKey, utf8 } from '@pyralog/shared/core';
import { pyralog } from '../support/cli.ts';
import { connectTo, eventually, startCluster } from '../support/cluster.ts';

/** Lines of the short form; the long form of a release is 1,000,000 (`PYRALOG_TEST_LINES`). */
const LINES = Number(process.env.PYRALOG_TEST_LINES ?? 100_000);
const KEYS = 997;

function line(index: number): string {
  return JSON.stringify({ user: `user-${index % KEYS}`, index });
}

async function* lines(): AsyncGenerator<string> {
  for (let from = 0; from < LINES; from += 1_000) {
    const chunk = Array.from({ length: Math.min(1_000, LINES - from) }, (_, index) => line(from + index));
    yield `${chunk.join('\n')}\n`;
  }
}

describe('produce and consume', () => {
  it('give back exactly the same lines, in order per key, and sequencers write nothing to disk', async (test) => {
    const cluster = await startCluster(test);
    const { natsUrl } = cluster;
    const created = await pyralog(['log', 'create', 'demo/lines', '--partitions', '8', '--json'], { natsUrl });
    assert.equal(created.code, 0, created.stderr);

    const produced = await pyralog(['produce', 'demo/lines', '--key-field', 'user', '--json'], {
      natsUrl,
      stdin: lines(),
      timeoutMs: 600_000,
    });
    assert.equal(produced.code, 0, produced.stderr);
    const summary = JSON.parse(produced.stdout) as {
      records: number;
      partitions: Record<string, { first: number; count: number }>;
    };
    assert.equal(summary.records, LINES);
    const counts = Object.values(summary.partitions).map(({ count }) => count);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      LINES,
    );

    const consumed = await pyralog(['consume', 'demo/lines', '-o', 'earliest', '--json'], {
      natsUrl,
      timeoutMs: 600_000,
    });
    assert.equal(consumed.code, 0, consumed.stderr);
    const seen = new Uint8Array(LINES);
    const lastOfKey = new Map<string, number>();
    const nextOffset = new Map<number, number>();
    for (const text of consumed.stdout.split('\n').slice(0, -1)) {
      const record = JSON.parse(text) as { partition: number; offset: number; key: string; value: string };
      const { user, index } = JSON.parse(record.value) as { user: string; index: number };
      assert.equal(record.value, line(index));
      assert.equal(record.key, user);
      assert.equal(record.partition, partitionOfKey(utf8(user), 8));
      assert.equal(seen[index], 0, `line ${index} came twice`);
      seen[index] = 1;
      assert.ok((lastOfKey.get(user) ?? -1) < index, `key ${user} is out of order`);
      lastOfKey.set(user, index);
      assert.equal(record.offset, nextOffset.get(record.partition) ?? 0);
      nextOffset.set(record.partition, record.offset + 1);
    }
    assert.equal(
      seen.reduce((sum, value) => sum + value, 0),
      LINES,
    );

    for (const process of cluster.processes.filter(({ role }) => role === 'sequencer')) {
      assert.equal(await process.bytesWritten(), 0, `${process.id} wrote to disk`);
    }
  });

  it('keep working with one of four storage nodes stopped, and after it is back', async (test) => {
    const cluster = await startCluster(test);
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/degraded', { partitions: 4 });
    const append = async (count: number, prefix: string): Promise<void> => {
      await client
        .producer('demo/degraded')
        .appendBatch(Array.from({ length: count }, (_, index) => ({ value: `${prefix}-${index}` })));
    };
    const count = async (): Promise<number> => {
      let records = 0;
      for await (const _ of client.reader('demo/degraded', { follow: false })) records++;
      return records;
    };
    await append(1_000, 'before');
    await cluster.process('storage-node-2').stop();
    await append(1_000, 'during');
    assert.equal(await count(), 2_000);
    await cluster.process('storage-node-2').start();
    await append(1_000, 'after');
    assert.equal(await count(), 3_000);
  });

  it('read back what was acknowledged a moment ago, in a log that was created a moment before', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3 });
    const client = await connectTo(test, cluster);
    for (let round = 0; round < 15; round++) {
      const log = `demo/fresh-${round}`;
      await client.admin.createLog(log, { partitions: 4 });
      await client
        .producer(log)
        .appendBatch(Array.from({ length: 200 }, (_, index) => ({ key: `k${index}`, value: `${index}` })));
      let records = 0;
      for await (const _ of client.reader(log, { from: 'earliest', follow: false })) records++;
      assert.equal(records, 200, log);
    }
  });

  it('deliver what is appended while a reader follows', async (test) => {
    const cluster = await startCluster(test, { storageNodes: 3 });
    const client = await connectTo(test, cluster);
    await client.admin.createLog('demo/tail', { partitions: 2 });
    const producer = client.producer('demo/tail', { lingerMs: 0 });
    await producer.append({ value: 'old' });
    const values: string[] = [];
    const reader = client.reader('demo/tail', { from: 'earliest' });
    const reading = (async () => {
      for await (const { value } of reader) values.push(new TextDecoder().decode(value));
    })();
    await eventually('the old record', () => values.length === 1);
    for (let index = 0; index < 200; index++) await producer.append({ key: 'k', value: `new-${index}` });
    await eventually('the new records', () => values.length === 201);
    assert.deepEqual(
      values.slice(1),
      Array.from({ length: 200 }, (_, index) => `new-${index}`),
    );
    await reader.close();
    await reading;
  });
});
