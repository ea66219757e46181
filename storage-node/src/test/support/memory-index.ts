/** The `BatchIndex` port in memory. What was committed outlives a crash, as long as the same object is opened again. */
import {
  type BatchIndex,
  type BatchLocation,
  type Checkpoint,
  type Epoch,
  type IndexCommit,
  type Offset,
  type PartitionId,
  type PartitionState,
  PyralogError,
  type RangeQuery,
} from '@pyralog/shared/core';

export class MemoryIndex implements BatchIndex {
  readonly #batches = new Map<string, BatchLocation>();
  readonly #partitions = new Map<PartitionId, PartitionState>();
  readonly #segments = new Set<number>();
  #checkpoint: Checkpoint | undefined;
  distrusted = false;
  full = false;
  commits = 0;

  async commit(commit: IndexCommit): Promise<void> {
    await Promise.resolve();
    if (this.full) throw new PyralogError({ code: 'read-only', message: 'disk is full' });
    this.commits++;
    for (const batch of commit.batches) {
      this.#batches.set(`${batch.partitionId} ${batch.epoch} ${batch.baseOffset}`, batch);
      this.#segments.add(batch.segmentId);
    }
    for (const state of commit.partitions) this.#partitions.set(state.partitionId, state);
    this.#checkpoint = commit.checkpoint;
  }

  readCheckpoint(): Checkpoint | undefined {
    return this.#checkpoint;
  }

  partitions(): Iterable<PartitionState> {
    return this.#partitions.values();
  }

  find(partitionId: PartitionId, epoch: Epoch, offset: Offset): BatchLocation | undefined {
    return this.#of(partitionId, epoch).find(
      (batch) => batch.baseOffset <= offset && offset < batch.baseOffset + batch.recordCount,
    );
  }

  last(partitionId: PartitionId, epoch: Epoch): BatchLocation | undefined {
    return this.#of(partitionId, epoch).at(-1);
  }

  lastOf(partitionId: PartitionId): BatchLocation | undefined {
    const batches = [...this.#batches.values()].filter((batch) => batch.partitionId === partitionId);
    return batches.sort((a, b) => a.epoch - b.epoch || a.baseOffset - b.baseOffset).at(-1);
  }

  range({ partitionId, epoch, from, until, limit }: RangeQuery): BatchLocation[] {
    if (from >= until) return [];
    const inRange = (batch: BatchLocation): boolean =>
      batch.baseOffset + batch.recordCount > from && batch.baseOffset < until;
    return this.#of(partitionId, epoch).filter(inRange).slice(0, limit);
  }

  segmentIds(): number[] {
    return [...this.#segments].sort((a, b) => a - b);
  }

  removeSegment(segmentId: number): Promise<void> {
    for (const [key, batch] of this.#batches) if (batch.segmentId === segmentId) this.#batches.delete(key);
    this.#segments.delete(segmentId);
    return Promise.resolve();
  }

  count(): number {
    return this.#batches.size;
  }

  distrust(): void {
    this.distrusted = true;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #of(partitionId: PartitionId, epoch: Epoch): BatchLocation[] {
    return [...this.#batches.values()]
      .filter((batch) => batch.partitionId === partitionId && batch.epoch === epoch)
      .sort((a, b) => a.baseOffset - b.baseOffset);
  }
}
