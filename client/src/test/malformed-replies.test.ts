import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyralogError } from '@pyralog/shared/core';
import fc from 'fast-check';
import { FakeCluster, LOG } from './support/fake-cluster.ts';
import { fill, isSequence, take } from './support/fill.ts';

/** Something that no honest process sends. */
const garbage = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.json().map((json) => new TextEncoder().encode(json)),
  fc.json().map((json) => new TextEncoder().encode(`{"ok":true,"result":${json}}`)),
  fc.json().map((json) => new TextEncoder().encode(`{"ok":false,"error":${json}}`)),
  // The shape of a message of a read's stream, of either kind, with anything in it.
  fc
    .tuple(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 2 }), fc.uint8Array({ maxLength: 300 }))
    .map(([kind, sequence, bytes]) => new Uint8Array([kind, 0, 0, 0, sequence, 0, 0, 0, ...bytes])),
  fc
    .json()
    .map(
      (json) => new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, ...new TextEncoder().encode(`{"ok":true,"result":${json}}`)]),
    ),
  // An append reply of the right length.
  fc.uint8Array({ minLength: 23, maxLength: 23 }).map((bytes) => new Uint8Array([1, ...bytes])),
  fc.constant('truncated' as const),
);

/** Damages `percent` of what reaches the client, as long as `isOn` says so. */
function poison(
  cluster: FakeCluster,
  name: string,
  poisons: readonly (Uint8Array | 'truncated')[],
  isOn: () => boolean,
): void {
  const { random } = cluster;
  cluster.network.fate = (sent, to) => {
    if (!isOn() || to !== name || random.below(100) >= 40) return random.below(3);
    const chosen = poisons[random.below(poisons.length)] ?? 'truncated';
    const payload = chosen === 'truncated' ? sent.payload.slice(0, random.below(sent.payload.byteLength + 1)) : chosen;
    return { delayMs: 1, payload };
  };
}

test('malformed replies neither crash nor hang a reader, nor change what it reads', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(garbage, { minLength: 1, maxLength: 20 }), async (seed, poisons) => {
      const cluster = new FakeCluster({ seed, partitions: 2 });
      await fill(cluster, { count: 30, recordsPerBatch: 4 });
      const { client, transport } = cluster.client();
      let isOn = true;
      poison(cluster, transport.name, poisons, () => isOn);
      cluster.clock.schedule(20_000, () => {
        isOn = false;
      });
      const reader = client.reader(LOG, { partitions: [0] });
      assert.ok(isSequence(await take(cluster, reader, 30), 0, 30));
      await fill(cluster, { count: 10, first: 30 });
      assert.ok(isSequence(await take(cluster, reader, 10), 30, 40));
      await cluster.clock.until(client.close(), 1_000);
    }),
    { numRuns: 100, seed: 7, includeErrorInReport: true },
  );
});

test('malformed replies neither crash nor hang a producer: every append is settled, what is acknowledged is there', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(garbage, { minLength: 1, maxLength: 20 }), async (seed, poisons) => {
      const cluster = new FakeCluster({ seed });
      const { client, transport } = cluster.client();
      let isOn = true;
      // A forged acknowledgement cannot be told from a real one.
      const honest = poisons.filter((one) => one === 'truncated' || one.byteLength !== 24 || one[0] !== 1);
      poison(cluster, transport.name, honest, () => isOn);
      cluster.clock.schedule(20_000, () => {
        isOn = false;
      });
      const producer = client.producer(LOG, {
        lingerMs: 0,
        batchBytes: 150,
        requestTimeoutMs: 500,
        deliveryTimeoutMs: 60_000,
      });
      const values = Array.from({ length: 40 }, (_, index) => String(index));
      const settled = await cluster.clock.until(Promise.allSettled(values.map((value) => producer.append({ value }))));
      const stored = cluster.contents(0).map(({ value }) => value);
      assert.equal(new Set(stored).size, stored.length);
      for (const [index, result] of settled.entries()) {
        if (result.status === 'fulfilled') assert.equal(stored[result.value.offset], String(index));
        else assert.ok(result.reason instanceof PyralogError);
      }
      await cluster.clock.until(client.close());
    }),
    { numRuns: 100, seed: 8, includeErrorInReport: true },
  );
});

test('malformed replies to administration are typed errors', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(garbage, { minLength: 1, maxLength: 20 }), async (seed, poisons) => {
      const cluster = new FakeCluster({ seed, partitions: 2 });
      const { client, transport } = cluster.client();
      poison(cluster, transport.name, poisons, () => true);
      const { admin } = client;
      const asked = [
        admin.describeLog(LOG),
        admin.listLogs(),
        admin.clusterStatus(),
        admin.createLog(LOG, { partitions: 1 }),
      ];
      for (const result of await cluster.clock.until(Promise.allSettled(asked), 60_000)) {
        if (result.status === 'rejected') assert.ok(result.reason instanceof PyralogError, String(result.reason));
      }
      await cluster.clock.until(client.close());
    }),
    { numRuns: 100, seed: 9, includeErrorInReport: true },
  );
});
