/**
 * Where a batch is stored: a pure function of the fragment and the batch's base offset, computed alike by sequencers,
 * storage nodes and readers. Its vectors are in docs/FORMAT.md.
 *
 * A table of copysets is derived from the nodeset (CopySets: Cidon et al., USENIX ATC 2013): `ceil(scatterWidth / (RF-1))`
 * seeded permutations, each walked cyclically in steps of RF until the walk closes, so that every node is in the same
 * number of copysets. Every rotation of a copyset is a row, so that every member is first equally often: the first
 * member is the batch's *designated reader*. Few distinct copysets mean few combinations of nodes whose simultaneous
 * loss destroys data; the scatter width says over how many others a node's repair is spread.
 *
 * Zones: the members of a copyset lie in distinct zones as long as the nodeset has enough of them. That goes before
 * exact balance when zones differ in size. A node without a zone is a zone of its own.
 */
import { assert } from './errors.ts';
import { hashPlacement, hashWords } from './hash.ts';
import type { Offset, PartitionId, StorageNodeId } from './ids.ts';

export const STRATEGIES = ['per-record', 'per-partition'] as const;
/** `per-record`: a copyset per batch. `per-partition`: one copyset for the whole fragment. */
export type Strategy = (typeof STRATEGIES)[number];

/** A member of a nodeset: a place that a storage node fills. */
export interface Slot {
  readonly nodeId: StorageNodeId;
  readonly zone?: string | undefined;
}

/** What placement depends on. */
export interface Placement {
  readonly strategy: Strategy;
  /** u32. */
  readonly seed: number;
  readonly replicationFactor: number;
  readonly scatterWidth: number;
  /** In slot order. */
  readonly slots: readonly Slot[];
}

/** Indexes of slots; the first is the designated reader. */
export type Copyset = readonly number[];

export class CopysetTable {
  readonly placement: Placement;
  readonly rows: readonly Copyset[];

  /** @throws AssertionError when RF exceeds the nodeset. */
  constructor(placement: Placement) {
    const { replicationFactor, slots } = placement;
    assert(replicationFactor >= 1 && replicationFactor <= slots.length, 'replication factor exceeds the nodeset');
    this.placement = placement;
    this.rows = buildRows(placement);
  }

  /** The copyset of the batch that begins at `baseOffset`. */
  copyset(partitionId: PartitionId, baseOffset: Offset): Copyset {
    const { seed, strategy } = this.placement;
    const hash = hashPlacement(seed, partitionId, strategy === 'per-record' ? baseOffset : 0);
    const row = this.rows[hash % this.rows.length];
    assert(row !== undefined, 'copyset table is empty');
    return row;
  }

  nodeId(slot: number): StorageNodeId {
    const member = this.placement.slots[slot];
    assert(member !== undefined, 'slot is outside the nodeset');
    return member.nodeId;
  }

  /** Ids of the nodes of a copyset, in its order. */
  nodeIds(copyset: Copyset): StorageNodeId[] {
    return copyset.map((slot) => this.nodeId(slot));
  }

  /** The node that serves the batch to readers who exclude `excluded`; `undefined` when they exclude every copy. */
  designatedReader(partitionId: PartitionId, baseOffset: Offset, excluded: ReadonlySet<string>): StorageNodeId | undefined {
    for (const slot of this.copyset(partitionId, baseOffset)) {
      const nodeId = this.nodeId(slot);
      if (!excluded.has(nodeId)) return nodeId;
    }
    return undefined;
  }
}

function buildRows(placement: Placement): Copyset[] {
  const { replicationFactor, scatterWidth, slots, seed } = placement;
  const permutations = replicationFactor === 1 ? 1 : Math.max(1, Math.ceil(scatterWidth / (replicationFactor - 1)));
  const zones = slots.map((slot, index) => slot.zone ?? `slot ${index}`);
  const uses = slots.map(() => 0);
  const rows: Copyset[] = [];
  for (let permutation = 0; permutation < permutations; permutation++) {
    const order = alternateZones(shuffle(slots.length, seed, permutation), zones, replicationFactor);
    for (const group of cut(order, zones, replicationFactor, uses)) {
      for (let rotation = 0; rotation < replicationFactor; rotation++) {
        rows.push([...group.slice(rotation), ...group.slice(0, rotation)]);
      }
    }
  }
  return rows;
}

/** Fisher-Yates over [0, length) with the word `hashWords(seed, permutation, index)` as its randomness. */
function shuffle(length: number, seed: number, permutation: number): number[] {
  const order = Array.from({ length }, (_, index) => index);
  for (let index = length - 1; index > 0; index--) {
    const other = Math.floor((hashWords(seed, permutation, index) * (index + 1)) / 0x1_0000_0000);
    [order[index], order[other]] = [order[other] as number, order[index] as number];
  }
  return order;
}

/** Reorders so that neighbours are of distinct zones: at each place, the fullest zone not used in the last RF-1 places. */
function alternateZones(order: readonly number[], zones: readonly string[], replicationFactor: number): number[] {
  const waiting = new Map<string, number[]>();
  for (const slot of order) {
    const zone = zones[slot] as string;
    const queue = waiting.get(zone);
    if (queue === undefined) waiting.set(zone, [slot]);
    else queue.push(slot);
  }
  if (waiting.size === order.length) return [...order];
  const result: number[] = [];
  const recent: string[] = [];
  while (result.length < order.length) {
    let best: [string, number[]] | undefined;
    for (const entry of waiting) {
      if (entry[1].length === 0 || recent.includes(entry[0])) continue;
      if (best === undefined || entry[1].length > best[1].length) best = entry;
    }
    best ??= [...waiting].filter(([, queue]) => queue.length > 0).sort((a, b) => b[1].length - a[1].length)[0];
    assert(best !== undefined, 'zones ran out of nodes');
    result.push(best[1].shift() as number);
    recent.push(best[0]);
    if (recent.length >= Math.min(replicationFactor, waiting.size)) recent.shift();
  }
  return result;
}

/** Groups of RF along the cyclic order until the walk closes; a second member of a zone yields to the least used other. */
function cut(order: readonly number[], zones: readonly string[], replicationFactor: number, uses: number[]): number[][] {
  const groups: number[][] = [];
  const count = order.length / greatestCommonDivisor(order.length, replicationFactor);
  const zoneCount = new Set(zones).size;
  for (let index = 0; index < count; index++) {
    const group: number[] = [];
    for (let member = 0; member < replicationFactor; member++) {
      const planned = order[(index * replicationFactor + member) % order.length] as number;
      group.push(planned);
    }
    const spread = Math.min(replicationFactor, zoneCount);
    if (new Set(group.map((slot) => zones[slot])).size < spread) respread(group, order, zones, uses, spread);
    for (const slot of group) uses[slot] = (uses[slot] as number) + 1;
    groups.push(group);
  }
  return groups;
}

/** Replaces members whose zone the group already has by the least used node of a zone it lacks, until `spread` zones. */
function respread(group: number[], order: readonly number[], zones: readonly string[], uses: readonly number[], spread: number): void {
  for (let member = 1; member < group.length; member++) {
    const present = new Set(group.map((slot) => zones[slot]));
    if (present.size >= spread) return;
    const repeated = group.some((slot, other) => other < member && zones[slot] === zones[group[member] as number]);
    if (!repeated) continue;
    let best: number | undefined;
    for (const slot of order) {
      if (present.has(zones[slot])) continue;
      if (best === undefined || (uses[slot] as number) < (uses[best] as number)) best = slot;
    }
    if (best !== undefined) group[member] = best;
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
