/**
 * Batches that are durable in a segment and not yet in the index, in memory: what one transaction of the index will
 * hold. Answers the same questions as the index.
 */
import type { BatchLocation, Checkpoint, Epoch, Offset, PartitionId, RangeQuery } from '@pyralog/shared/core';
import type { PartitionGate } from './partition-gates.ts';

export class PendingBatches {
  /** In the order of their commits. */
  readonly batches: BatchLocation[] = [];
  /** Partitions whose state changed. */
  readonly gates = new Set<PartitionGate>();
  checkpoint: Checkpoint | undefined;
  /** Per partition, ascending by epoch and base offset. */
  readonly #runs = new Map<PartitionId, BatchLocation[]>();

  add(location: BatchLocation): void {
    this.batches.push(location);
    const run = this.#runs.get(location.partitionId);
    if (run === undefined) {
      this.#runs.set(location.partitionId, [location]);
      return;
    }
    const last = run.at(-1);
    if (last === undefined || compare(last, location.epoch, location.baseOffset) < 0) {
      run.push(location);
      return;
    }
    // Late ones go to their place; a batch that was written twice counts where it was written last.
    const place = firstAtOrAfter(run, location.epoch, location.baseOffset);
    const there = run[place];
    const again = there !== undefined && compare(there, location.epoch, location.baseOffset) === 0;
    run.splice(place, again ? 1 : 0, location);
  }

  find(partitionId: PartitionId, epoch: Epoch, offset: Offset): BatchLocation | undefined {
    const run = this.#runs.get(partitionId);
    if (run === undefined) return undefined;
    const candidate = run[firstAtOrAfter(run, epoch, offset + 1) - 1];
    if (candidate === undefined || candidate.epoch !== epoch) return undefined;
    return offset < candidate.baseOffset + candidate.recordCount ? candidate : undefined;
  }

  last(partitionId: PartitionId, epoch: Epoch): BatchLocation | undefined {
    const run = this.#runs.get(partitionId);
    if (run === undefined) return undefined;
    const candidate = run[firstAtOrAfter(run, epoch, Number.MAX_SAFE_INTEGER) - 1];
    return candidate?.epoch === epoch ? candidate : undefined;
  }

  /** The last batch of the highest epoch. */
  lastOf(partitionId: PartitionId): BatchLocation | undefined {
    return this.#runs.get(partitionId)?.at(-1);
  }

  range(query: RangeQuery): BatchLocation[] {
    const { partitionId, epoch, from, until, limit } = query;
    const run = this.#runs.get(partitionId);
    const found: BatchLocation[] = [];
    if (run === undefined) return found;
    let index = Math.max(0, firstAtOrAfter(run, epoch, from + 1) - 1);
    for (; index < run.length && found.length < limit; index++) {
      const location = run[index];
      if (location === undefined || location.epoch > epoch) break;
      if (location.epoch < epoch || location.baseOffset + location.recordCount <= from) continue;
      if (location.baseOffset >= until) break;
      found.push(location);
    }
    return found;
  }
}

function compare(location: BatchLocation, epoch: number, offset: number): number {
  return location.epoch - epoch || location.baseOffset - offset;
}

/** Index of the first location that is not before (epoch, offset). */
function firstAtOrAfter(run: readonly BatchLocation[], epoch: number, offset: number): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const location = run[middle];
    if (location !== undefined && compare(location, epoch, offset) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
