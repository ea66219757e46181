/**
 * Where every stored batch lies: the index, and before it in memory what is not yet in the index.
 *
 * A synced transaction of the index for every commit of the segments would cost more than the commit. An unsynced one
 * would cost the index itself: LMDB survives a power cut only because it syncs pages before the root that names them,
 * so a database written without syncs may be torn in any page, the last checkpoint's included. So batches wait in
 * memory, and every `checkpointIntervalMs`, or when there are enough for a transaction, they are written in one synced
 * transaction, off the event loop, together with the checkpoint that says how far the segments are covered. The index
 * is consistent after every crash, and replay reads what was stored since the last transaction.
 *
 * A batch is added only once its commit is durable. At most `indexPendingBatchesMax` wait; `room` holds commits back.
 */
import {
  assert,
  type BatchIndex,
  type BatchLocation,
  type Checkpoint,
  type Clock,
  describeError,
  type Epoch,
  LIMITS,
  type Logger,
  type Offset,
  type PartitionId,
  PyralogError,
  type RangeQuery,
  type Timer,
} from '@pyralog/shared/core';
import type { PartitionGate } from './partition-gates.ts';
import { PendingBatches } from './pending-batches.ts';

export interface BatchDirectoryOptions {
  readonly index: BatchIndex;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly checkpointIntervalMs: number;
  /** The index cannot be written: the process must stop. */
  readonly onFatal: (reason: unknown) => void;
}

export class BatchDirectory {
  readonly #options: BatchDirectoryOptions;
  readonly #index: BatchIndex;
  #active = new PendingBatches();
  /** What the running transaction writes; it stays readable here until that is done. */
  #writing: PendingBatches | undefined;
  #flushing: Promise<void> | undefined;
  #timer: Timer | undefined;
  #waiting: (() => void)[] = [];
  /** Nothing is written any more. */
  #stopped = false;

  constructor(options: BatchDirectoryOptions) {
    this.#options = options;
    this.#index = options.index;
  }

  get count(): number {
    return this.#index.count() + this.#pendingCount;
  }

  get #pendingCount(): number {
    return this.#active.batches.length + (this.#writing?.batches.length ?? 0);
  }

  /** Adds a batch of a durable commit. */
  add(location: BatchLocation): void {
    this.#active.add(location);
  }

  /** The state of a partition changed by a frame of a durable commit. */
  touch(gate: PartitionGate): void {
    this.#active.gates.add(gate);
  }

  /** Ends the batches of a durable commit: everything before `checkpoint` was added. */
  endCommit(checkpoint: Checkpoint): void {
    this.#active.checkpoint = checkpoint;
    if (this.#flushing !== undefined) return;
    if (this.#active.batches.length >= LIMITS.indexTransactionBatches && this.#writing === undefined)
      void this.#transaction();
    else this.#schedule();
  }

  /** Resolves when there is room for a commit. */
  async room(): Promise<void> {
    while (this.#pendingCount >= LIMITS.indexPendingBatchesMax && !this.#stopped) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  find(partitionId: PartitionId, epoch: Epoch, offset: Offset): BatchLocation | undefined {
    return (
      this.#active.find(partitionId, epoch, offset) ??
      this.#writing?.find(partitionId, epoch, offset) ??
      this.#ask(() => this.#index.find(partitionId, epoch, offset))
    );
  }

  /** Highest epoch of which a batch is stored, 0 when there is none. */
  highestEpoch(partitionId: PartitionId): number {
    const indexed = this.#ask(() => this.#index.lastOf(partitionId));
    const lasts = [this.#active.lastOf(partitionId), this.#writing?.lastOf(partitionId), indexed];
    return Math.max(...lasts.map((last) => last?.epoch ?? 0));
  }

  /** First offset after the last batch of `epoch`, 0 when there is none. */
  endOf(partitionId: PartitionId, epoch: Epoch): number {
    const indexed = this.#ask(() => this.#index.last(partitionId, epoch));
    const lasts = [this.#active.last(partitionId, epoch), this.#writing?.last(partitionId, epoch), indexed];
    return Math.max(...lasts.map((last) => (last === undefined ? 0 : last.baseOffset + last.recordCount)));
  }

  /** Up to `limit` batches of `epoch` that end after `from` and begin before `until`, ascending. */
  range(query: RangeQuery): BatchLocation[] {
    if (query.from >= query.until) return [];
    const sources = [
      this.#ask(() => this.#index.range(query)),
      this.#writing?.range(query) ?? [],
      this.#active.range(query),
    ];
    const filled = sources.filter((source) => source.length > 0);
    if (filled.length <= 1) return filled[0] ?? [];
    const merged = filled.flat().sort((a, b) => a.baseOffset - b.baseOffset);
    const distinct = merged.filter((location, index) => location.baseOffset !== merged[index - 1]?.baseOffset);
    return distinct.slice(0, query.limit);
  }

  /** The index said something that a segment disproves. */
  distrustIndex(): void {
    this.#index.distrust();
  }

  /** An index that cannot be read is damaged: the process stops, and the next start rebuilds it. */
  #ask<T>(question: () => T): T {
    try {
      return question();
    } catch (reason) {
      this.#index.distrust();
      this.#options.onFatal(reason);
      throw reason;
    }
  }

  /** Writes what is pending; resolves when that is durable or cannot be written now. */
  async flush(): Promise<void> {
    // The transaction that is running may have begun before what is pending now was added.
    if (this.#flushing !== undefined) await this.#flushing;
    await this.#transaction();
  }

  /** The running transaction, or the next one. */
  #transaction(): Promise<void> {
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined;
      if (this.#stopped || this.#active.checkpoint === undefined) return;
      if (this.#active.batches.length >= LIMITS.indexTransactionBatches && this.#writing === undefined)
        void this.#transaction();
      else this.#schedule();
    });
    return this.#flushing;
  }

  async #write(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#writing === undefined && this.#active.checkpoint !== undefined) this.#writing = this.#take();
    if (this.#writing === undefined || this.#stopped) return;
    const { batches, gates, checkpoint } = this.#writing;
    assert(checkpoint !== undefined, 'index transaction has no checkpoint');
    try {
      await this.#index.commit({ batches, partitions: [...gates].map((gate) => gate.state()), checkpoint });
    } catch (reason) {
      if (reason instanceof PyralogError && reason.code === 'read-only') {
        this.#options.logger.warn('index waits for disk space', { problem: describeError(reason) });
        this.#schedule();
        return;
      }
      this.#stopped = true;
      this.#resume();
      this.#options.onFatal(reason);
      return;
    }
    this.#writing = undefined;
    this.#resume();
  }

  #resume(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  #take(): PendingBatches {
    const taken = this.#active;
    this.#active = new PendingBatches();
    return taken;
  }

  #schedule(): void {
    this.#timer ??= this.#options.clock.schedule(this.#options.checkpointIntervalMs, () => {
      this.#timer = undefined;
      void this.#transaction();
    });
  }

  /** Writes what is pending and stops. */
  async close(): Promise<void> {
    await this.flush();
    this.#stopped = true;
    this.#timer?.cancel();
  }
}
