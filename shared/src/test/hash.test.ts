import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashPlacement, hashWords, murmur2, partitionOfKey, rendezvousRank, utf8 } from '@pyralog/shared/core';
import fc from 'fast-check';
import { bytesOf, u32 } from './support/samples.ts';

/** org.apache.kafka.common.utils.UtilsTest.testMurmur2 */
const KAFKA_VECTORS: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
];

test("murmur2 gives what Kafka's own test expects", () => {
  for (const [key, expected] of KAFKA_VECTORS) assert.equal(murmur2(bytesOf(key)) | 0, expected, key);
});

test("a key goes to the partition that Kafka's default partitioner chooses", () => {
  for (const [key, hash] of KAFKA_VECTORS) {
    for (const partitions of [1, 3, 16, 1_000]) {
      assert.equal(partitionOfKey(bytesOf(key), partitions), (hash & 0x7fff_ffff) % partitions);
    }
  }
});

test('every key has one partition of those there are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 4_096 }), (key, partitions) => {
      const partition = partitionOfKey(key, partitions);
      assert.ok(Number.isInteger(partition) && partition >= 0 && partition < partitions);
    }),
  );
});

test('the placement hash is the hash of its words', () => {
  fc.assert(
    fc.property(u32, u32, fc.maxSafeNat(), (seed, partitionId, offset) => {
      const expected = hashWords(seed, partitionId, offset % 2 ** 32, Math.floor(offset / 2 ** 32));
      assert.equal(hashPlacement(seed, partitionId, offset), expected);
    }),
    { numRuns: 2_000 },
  );
});

test('the placement hash spreads consecutive, strided and high offsets evenly', () => {
  const buckets = 120;
  for (const [start, stride] of [
    [0, 1],
    [0, 100],
    [0, 65_536],
    [2 ** 40, 1],
    [5, 120],
  ] as const) {
    const counts = new Array<number>(buckets).fill(0);
    const samples = 120_000;
    for (let index = 0; index < samples; index++) {
      const bucket = hashPlacement(1, 9, start + index * stride) % buckets;
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    const expected = samples / buckets;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 119 degrees of freedom: above 190 has a probability of about 4 in 100,000 were the hash random.
    assert.ok(chiSquare < 190, `chi square ${chiSquare} from ${start} by ${stride}`);
  }
});

const hashOf = (id: string): number => murmur2(utf8(id));
const ids = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), { minLength: 1, maxLength: 12 });

test('a rendezvous rank holds every candidate once, whatever the order they come in', () => {
  fc.assert(
    fc.property(ids, u32, (candidates, subject) => {
      const rank = rendezvousRank(subject, candidates, hashOf);
      assert.deepEqual([...rank].sort(), [...candidates].sort());
      assert.deepEqual(rendezvousRank(subject, [...candidates].reverse(), hashOf), rank);
    }),
  );
});

test('who leaves a rendezvous moves only its own share', () => {
  fc.assert(
    fc.property(ids, fc.nat(), u32, (candidates, which, subject) => {
      const gone = candidates[which % candidates.length];
      const before = rendezvousRank(subject, candidates, hashOf);
      const after = rendezvousRank(
        subject,
        candidates.filter((id) => id !== gone),
        hashOf,
      );
      assert.deepEqual(
        after,
        before.filter((id) => id !== gone),
      );
    }),
    { numRuns: 500 },
  );
});

test('rendezvous gives equal shares', () => {
  const candidates = Array.from({ length: 5 }, (_, index) => `sequencer-${index + 1}`);
  const shares = new Map<string, number>(candidates.map((id) => [id, 0]));
  const partitions = 10_000;
  for (let partition = 0; partition < partitions; partition++) {
    const owner = rendezvousRank(partition, candidates, hashOf)[0] ?? '';
    shares.set(owner, (shares.get(owner) ?? 0) + 1);
  }
  for (const share of shares.values()) assert.ok(Math.abs(share / (partitions / 5) - 1) < 0.1, `${share}`);
});
