import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AssertionError,
  type Copyset,
  CopysetTable,
  LIMITS,
  type Offset,
  type PartitionId,
  type Placement,
  type Slot,
  type StorageNodeId,
} from '@pyralog/shared/core';
import fc from 'fast-check';
import { u32 } from './support/samples.ts';

const PARTITION = 7 as PartitionId;
const offset = (value: number): Offset => value as Offset;

/** Slots of nodes `n0`, `n1`, …, in zones of these sizes, or in none. */
function slotsOf(nodes: number, zoneSizes: readonly number[] = []): Slot[] {
  const zones = zoneSizes.flatMap((size, zone) => new Array<string>(size).fill(`zone ${zone}`));
  return Array.from({ length: nodes }, (_, index) => ({ nodeId: `n${index}` as StorageNodeId, zone: zones[index] }));
}

function tableOf(changes: Partial<Placement> = {}): CopysetTable {
  return new CopysetTable({
    strategy: 'per-record',
    seed: 1,
    replicationFactor: 3,
    scatterWidth: 8,
    slots: slotsOf(10),
    ...changes,
  });
}

/** How often each slot is in a row, or is the first of one. */
function usesOf(table: CopysetTable, members: (row: Copyset) => readonly number[] = (row) => row): number[] {
  const uses = table.placement.slots.map(() => 0);
  for (const row of table.rows) for (const slot of members(row)) uses[slot] = (uses[slot] ?? 0) + 1;
  return uses;
}

const ratioOf = (counts: readonly number[]): number => Math.max(...counts) / Math.min(...counts);
const setOf = (row: Copyset): string => [...row].sort((a, b) => a - b).join(' ');
const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Copies per node when `batches` single-record batches go to `partitions` partitions in turn. */
function loadOf(table: CopysetTable, partitions: number, batches: number): number[] {
  const copies = table.placement.slots.map(() => 0);
  for (let batch = 0; batch < batches; batch++) {
    const partitionId = (1 + (batch % partitions)) as PartitionId;
    for (const slot of table.copyset(partitionId, offset(Math.floor(batch / partitions)))) {
      copies[slot] = (copies[slot] ?? 0) + 1;
    }
  }
  return copies;
}

const placements: fc.Arbitrary<Placement> = fc
  .record({
    seed: u32,
    replicationFactor: fc.integer({ min: 1, max: LIMITS.replicationFactorMax }),
    scatterWidth: fc.integer({ min: 1, max: LIMITS.scatterWidthMax }),
    strategy: fc.constantFrom('per-record' as const, 'per-partition' as const),
    more: fc.integer({ min: 0, max: 20 }),
    zones: fc.array(fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { nil: undefined, freq: 6 }), {
      minLength: 27,
      maxLength: 27,
    }),
    withZones: fc.boolean(),
  })
  .map(({ more, zones, withZones, ...placement }) => ({
    ...placement,
    slots: slotsOf(placement.replicationFactor + more).map(({ nodeId }, index) => ({
      nodeId,
      zone: withZones ? zones[index] : undefined,
    })),
  }));

const zoneCountOf = (slots: readonly Slot[]): number => {
  const named = new Set(slots.map((slot) => slot.zone).filter((zone) => zone !== undefined));
  return named.size + slots.filter((slot) => slot.zone === undefined).length;
};

test('a copyset has RF distinct members', () => {
  fc.assert(
    fc.property(placements, (placement) => {
      for (const row of new CopysetTable(placement).rows) {
        assert.equal(new Set(row).size, placement.replicationFactor);
        for (const slot of row) assert.ok(slot >= 0 && slot < placement.slots.length);
      }
    }),
    { numRuns: 300 },
  );
});

test('the members of a copyset are in as many zones, and as evenly, as the nodeset allows', () => {
  fc.assert(
    fc.property(placements, (placement) => {
      const { replicationFactor, slots } = placement;
      const zoneOf = (slot: number): string => slots[slot]?.zone ?? `none ${slot}`;
      const sizes = new Map<string, number>();
      for (const slot of slots.keys()) sizes.set(zoneOf(slot), (sizes.get(zoneOf(slot)) ?? 0) + 1);
      for (const row of new CopysetTable(placement).rows) {
        const members = new Map<string, number>();
        for (const slot of row) members.set(zoneOf(slot), (members.get(zoneOf(slot)) ?? 0) + 1);
        assert.equal(members.size, Math.min(replicationFactor, zoneCountOf(slots)));
        const most = Math.max(...members.values());
        for (const [zone, size] of sizes) {
          const count = members.get(zone) ?? 0;
          assert.ok(count >= Math.min(most - 1, size), `${count} members in a zone of ${size}, ${most} in another`);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('without zones every node is in equally many copysets, and first in equally many', () => {
  for (let nodes = 1; nodes <= 24; nodes++) {
    for (
      let replicationFactor = 1;
      replicationFactor <= Math.min(nodes, LIMITS.replicationFactorMax);
      replicationFactor++
    ) {
      for (const scatterWidth of [1, 8, 13]) {
        const table = tableOf({ replicationFactor, scatterWidth, slots: slotsOf(nodes), seed: nodes });
        assert.equal(ratioOf(usesOf(table)), 1);
        assert.equal(ratioOf(usesOf(table, (row) => row.slice(0, 1))), 1);
      }
    }
  }
});

test('zones of one size bear equal load, and so do their nodes', () => {
  const layouts: readonly (readonly [sizes: number[], replicationFactor: number])[] = [
    [[3, 3, 3], 3],
    [[4, 4, 4], 3],
    [[2, 2, 2, 2, 2], 3],
    [[5, 5], 2],
    [[5, 5], 3],
    [[6, 6, 6, 6], 3],
    [[10, 10, 10], 5],
  ];
  for (const [sizes, replicationFactor] of layouts) {
    const nodes = sizes.reduce((sum, size) => sum + size, 0);
    for (let seed = 1; seed <= 20; seed++) {
      const table = tableOf({ replicationFactor, slots: slotsOf(nodes, sizes), seed });
      assert.equal(ratioOf(usesOf(table)), 1, `${sizes} seed ${seed}`);
      assert.equal(ratioOf(usesOf(table, (row) => row.slice(0, 1))), 1);
    }
  }
});

test('in zones of different sizes nodes bear equal load unless a zone is too small for its share', () => {
  const layouts: readonly (readonly [sizes: number[], replicationFactor: number, ratioMax: number])[] = [
    // Nothing stands in the way of equal load: one use of eleven or so is lost to rounding.
    [[3, 2, 2, 2, 1], 3, 1.2],
    [[3, 3, 3, 2], 3, 1.2],
    [[6, 4], 3, 1.2],
    [[5, 3, 2, 1], 2, 1.2],
    // Every copyset needs a node of each of the three zones: 4/3, 2, 5/4 and 9/3 are the best there is.
    [[4, 3, 3], 3, 1.4],
    [[4, 4, 2], 3, 2],
    [[5, 4, 4], 3, 1.3],
    [[9, 3, 3], 3, 3.5],
  ];
  for (const [sizes, replicationFactor, ratioMax] of layouts) {
    const nodes = sizes.reduce((sum, size) => sum + size, 0);
    for (let seed = 1; seed <= 20; seed++) {
      const table = tableOf({ replicationFactor, slots: slotsOf(nodes, sizes), seed });
      assert.ok(ratioOf(usesOf(table)) <= ratioMax + 1e-9, `${sizes} seed ${seed}: ${ratioOf(usesOf(table))}`);
    }
  }
});

test('the number of distinct copysets is bounded by scatter width and nodes', () => {
  fc.assert(
    fc.property(placements, (placement) => {
      const { replicationFactor, scatterWidth, slots } = placement;
      const table = new CopysetTable(placement);
      const permutations = replicationFactor === 1 ? 1 : Math.max(1, Math.ceil(scatterWidth / (replicationFactor - 1)));
      const bound = (permutations * slots.length) / divisor(slots.length, replicationFactor);
      assert.equal(table.rows.length, bound * replicationFactor);
      assert.ok(new Set(table.rows.map(setOf)).size <= bound);
    }),
    { numRuns: 200 },
  );
});

test('every rotation of a copyset is a row, so that each member is its designated reader equally often', () => {
  fc.assert(
    fc.property(placements, (placement) => {
      const table = new CopysetTable(placement);
      const firsts = new Map<string, Map<number, number>>();
      for (const row of table.rows) {
        const counts = firsts.get(setOf(row)) ?? new Map<number, number>();
        const first = row[0] ?? -1;
        counts.set(first, (counts.get(first) ?? 0) + 1);
        firsts.set(setOf(row), counts);
      }
      for (const counts of firsts.values()) {
        assert.equal(counts.size, placement.replicationFactor);
        assert.equal(new Set(counts.values()).size, 1);
      }
    }),
    { numRuns: 100 },
  );
});

test('one hot partition of 200,000 batches loads 10 nodes within 1.1 per record, and 3 of them only per partition', () => {
  const perRecord = loadOf(tableOf(), 1, 200_000);
  assert.equal(
    perRecord.reduce((sum, copies) => sum + copies, 0),
    600_000,
  );
  assert.ok(ratioOf(perRecord) <= 1.1, `${perRecord}`);
  const perPartition = loadOf(tableOf({ strategy: 'per-partition' }), 1, 200_000);
  assert.deepEqual([...perPartition].sort(), [0, 0, 0, 0, 0, 0, 0, 200_000, 200_000, 200_000]);
});

test('sixteen partitions load 10 nodes within 1.1 per record, and unevenly per partition', () => {
  for (const seed of [1, 2, 3]) {
    assert.ok(ratioOf(loadOf(tableOf({ seed }), 16, 200_000)) <= 1.1);
    assert.ok(ratioOf(loadOf(tableOf({ seed, strategy: 'per-partition' }), 16, 200_000)) > 1.5);
  }
});

test('batches of any size are placed evenly', () => {
  for (const stride of [7, 100, 1_000, 65_536]) {
    const table = tableOf();
    const copies = new Array<number>(10).fill(0);
    for (let batch = 0; batch < 100_000; batch++) {
      for (const slot of table.copyset(PARTITION, offset(batch * stride))) copies[slot] = (copies[slot] ?? 0) + 1;
    }
    assert.ok(ratioOf(copies) <= 1.1, `stride ${stride}: ${copies}`);
  }
});

test('reads are spread evenly, and the reads of a node that is excluded over the others', () => {
  const table = tableOf();
  const share = (excluded: readonly string[]): Map<string, number> => {
    const reads = new Map<string, number>();
    for (let at = 0; at < 100_000; at++) {
      const reader = table.designatedReader(PARTITION, offset(at), new Set(excluded)) ?? 'none';
      reads.set(reader, (reads.get(reader) ?? 0) + 1);
    }
    return reads;
  };
  assert.ok(ratioOf([...share([]).values()]) <= 1.1);
  const without = share(['n3']);
  assert.equal(without.get('n3'), undefined);
  assert.equal(without.size, 9);
  assert.ok(ratioOf([...without.values()]) <= 1.4, `${[...without.values()]}`);
});

test('the designated reader is the first member that is not excluded', () => {
  const table = tableOf();
  for (let at = 0; at < 200; at++) {
    const nodes = table.nodeIds(table.copyset(PARTITION, offset(at)));
    const [first = '', second = '', third = ''] = nodes;
    assert.equal(table.designatedReader(PARTITION, offset(at), new Set()), first);
    assert.equal(table.designatedReader(PARTITION, offset(at), new Set([first])), second);
    assert.equal(table.designatedReader(PARTITION, offset(at), new Set([second])), first);
    assert.equal(table.designatedReader(PARTITION, offset(at), new Set([second, first])), third);
    assert.equal(table.designatedReader(PARTITION, offset(at), new Set([third, second, first])), undefined);
  }
});

test('another node in a slot changes the placement of nothing else', () => {
  fc.assert(
    fc.property(placements, fc.nat(), (placement, which) => {
      const replaced = which % placement.slots.length;
      const slots = placement.slots.map((slot, index) =>
        index === replaced ? { ...slot, nodeId: 'replacement' as StorageNodeId } : slot,
      );
      assert.deepEqual(new CopysetTable({ ...placement, slots }).rows, new CopysetTable(placement).rows);
    }),
    { numRuns: 100 },
  );
});

test('placement depends on which slots share a zone, not on what zones are called', () => {
  fc.assert(
    fc.property(placements, (placement) => {
      const slots = placement.slots.map(({ nodeId, zone }) => ({
        nodeId,
        zone: zone === undefined ? undefined : `x${zone}`,
      }));
      assert.deepEqual(new CopysetTable({ ...placement, slots }).rows, new CopysetTable(placement).rows);
    }),
    { numRuns: 100 },
  );
  const alone = slotsOf(6).map(({ nodeId }, index) => ({ nodeId, zone: `zone ${index}` }));
  assert.deepEqual(tableOf({ slots: alone }).rows, tableOf({ slots: slotsOf(6) }).rows);
});

test('another seed gives another placement', () => {
  const rows = (seed: number): string => JSON.stringify(tableOf({ seed }).rows);
  assert.notEqual(rows(1), rows(2));
  assert.equal(rows(1), rows(1));
});

test('per partition, all batches of a fragment share a copyset, and partitions differ', () => {
  const table = tableOf({ strategy: 'per-partition' });
  const copysetOf = (partition: number, at: number): Copyset => table.copyset(partition as PartitionId, offset(at));
  for (const at of [1, 1_000, Number.MAX_SAFE_INTEGER]) assert.equal(copysetOf(3, at), copysetOf(3, 0));
  assert.ok(new Set(Array.from({ length: 100 }, (_, partition) => setOf(copysetOf(partition, 0)))).size > 10);
});

test('the largest table there can be has a bounded number of rows', () => {
  for (const replicationFactor of [1, 2, 3, 5, 7]) {
    const table = tableOf({
      replicationFactor,
      scatterWidth: LIMITS.scatterWidthMax,
      slots: slotsOf(LIMITS.nodesetNodesMax),
    });
    assert.ok(table.rows.length <= 20_000, `${table.rows.length}`);
  }
});

test('a nodeset smaller than the replication factor is a programmer’s error', () => {
  assert.throws(() => tableOf({ slots: slotsOf(2) }), AssertionError);
  assert.throws(() => tableOf({ replicationFactor: 0 }), AssertionError);
  assert.throws(() => tableOf().nodeId(10), AssertionError);
});
