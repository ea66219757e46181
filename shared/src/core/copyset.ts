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
 * With zones it is the zones that are permuted, and each gives its nodes in turn. The members of a copyset are spread over
 * as many zones, and as evenly, as the nodeset allows; next comes that zones bear load in proportion to their nodes, and
 * the nodes of a zone alike. A node without a zone is a zone of its own: then all this comes down to the cyclic walk.
 */
import { assert } from './errors.ts';
import { hashPlacement, hashWords } from './hash.ts';
import type { Offset, PartitionId, StorageNodeId } from './ids.ts';

export const STRATEGIES = ['per-record', 'per-partition'] as const;
/** `per-record`: a copyset per batch. `per-partition`: one copyset for the whole fragment. */
export type Strategy = (typeof STRATEGIES)[number];

/**
 * A member of a nodeset: a place that a storage node fills. Placement depends on the zone and not on the node, so that
 * another node can fill the place; the zone stays what it was when the fragment was opened.
 */
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
  designatedReader(
    partitionId: PartitionId,
    baseOffset: Offset,
    excluded: ReadonlySet<string>,
  ): StorageNodeId | undefined {
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
  const groups = slots.length / greatestCommonDivisor(slots.length, replicationFactor);
  const zones = zonesOf(slots);
  const rows: Copyset[] = [];
  for (let permutation = 0; permutation < permutations; permutation++) {
    const order = [...zones];
    shuffle(order, (index) => hashWords(seed, permutation, index));
    for (let group = 0; group < groups; group++) {
      const members = nextGroup(order, replicationFactor, seed);
      for (let rotation = 0; rotation < replicationFactor; rotation++) {
        rows.push([...members.slice(rotation), ...members.slice(0, rotation)]);
      }
    }
  }
  return rows;
}

interface Zone {
  readonly number: number;
  /** Its slots, shuffled anew every round; `[0, next)` were taken in this round. */
  readonly slots: number[];
  next: number;
  round: number;
  /** Times one of its slots was taken, in all rounds. */
  uses: number;
  /** Slots of the group that is being put together. */
  inGroup: number;
}

/** The zones, numbered in slot order. */
function zonesOf(slots: readonly Slot[]): Zone[] {
  const named = new Map<string, Zone>();
  const zones: Zone[] = [];
  for (const [slot, { zone: name }] of slots.entries()) {
    const known = name === undefined ? undefined : named.get(name);
    if (known !== undefined) {
      known.slots.push(slot);
      continue;
    }
    const zone: Zone = { number: zones.length, slots: [slot], next: 0, round: 0, uses: 0, inGroup: 0 };
    zones.push(zone);
    if (name !== undefined) named.set(name, zone);
  }
  return zones;
}

/** The next RF slots: each from the zone that has fewest in the group so far and, of those, has been used least. */
function nextGroup(zones: readonly Zone[], replicationFactor: number, seed: number): number[] {
  for (const zone of zones) zone.inGroup = 0;
  const group: number[] = [];
  while (group.length < replicationFactor) {
    let best: Zone | undefined;
    for (const zone of zones) {
      if (zone.inGroup < zone.slots.length && (best === undefined || goesBefore(zone, best))) best = zone;
    }
    assert(best !== undefined, 'nodeset has fewer nodes than the replication factor');
    group.push(takeSlot(best, group, seed));
  }
  return group;
}

/** Whether a slot is taken from `a` although `b` comes first: uses per slot are compared without a division. */
function goesBefore(a: Zone, b: Zone): boolean {
  if (a.inGroup !== b.inGroup) return a.inGroup < b.inGroup;
  return a.uses * b.slots.length < b.uses * a.slots.length;
}

/** Takes the zone's next slot that is not in the group. */
function takeSlot(zone: Zone, group: readonly number[], seed: number): number {
  const { number, slots } = zone;
  if (zone.next === 0) shuffle(slots, (index) => hashWords(seed, number, zone.round, index));
  const found = slots.findIndex((slot, index) => index >= zone.next && !group.includes(slot));
  assert(found >= 0, 'zone has no slot that is not in the group');
  swap(slots, zone.next, found);
  const slot = slots[zone.next] as number;
  zone.next = (zone.next + 1) % slots.length;
  if (zone.next === 0) zone.round++;
  zone.uses++;
  zone.inGroup++;
  return slot;
}

/** Fisher-Yates, from the last item down, with the u32 `word(index)` as its randomness. */
function shuffle<T>(items: T[], word: (index: number) => number): void {
  for (let index = items.length - 1; index > 0; index--) {
    swap(items, index, Math.floor((word(index) * (index + 1)) / 0x1_0000_0000));
  }
}

function swap<T>(items: T[], a: number, b: number): void {
  [items[a], items[b]] = [items[b] as T, items[a] as T];
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
