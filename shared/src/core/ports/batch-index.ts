/**
 * Where each batch lies. Derived from the segments and rebuilt from them when lost: a commit here need not be durable
 * until `sync`.
 */
import type { Epoch, Nonce, Offset, PartitionId } from '../ids.ts';

export interface BatchLocation {
  readonly partitionId: PartitionId;
  readonly epoch: Epoch;
  readonly baseOffset: Offset;
  readonly recordCount: number;
  readonly appendTimeMs: number;
  readonly segmentId: number;
  /** Of the frame in its segment, bytes. */
  readonly position: number;
  readonly length: number;
}

/** What a storage node knows of a partition. */
export interface PartitionState {
  readonly partitionId: PartitionId;
  /** Highest epoch stored or sealed; stores of lower ones are refused. */
  readonly epoch: Epoch;
  /** Nonce bound to `epoch` by its first store; `undefined` after a seal alone. */
  readonly nonce: Nonce | undefined;
  /** Highest released offset seen in a frame. */
  readonly releasedOffset: Offset;
}

/** Everything before this place of the segments is in the index, durably. */
export interface Checkpoint {
  readonly segmentId: number;
  readonly position: number;
}

export interface IndexCommit {
  readonly batches: readonly BatchLocation[];
  readonly partitions: readonly PartitionState[];
}

export interface BatchIndex {
  /** One transaction. */
  commit(commit: IndexCommit): void;
  /** Writes the checkpoint and makes it and everything committed before durable. */
  checkpoint(checkpoint: Checkpoint): Promise<void>;
  readCheckpoint(): Checkpoint | undefined;
  partition(partitionId: PartitionId): PartitionState | undefined;
  partitions(): Iterable<PartitionState>;
  /** The batch of `epoch` that holds `offset`. */
  find(partitionId: PartitionId, epoch: Epoch, offset: Offset): BatchLocation | undefined;
  /** Up to `limit` batches of `epoch` that end after `from` and begin before `until`, ascending. */
  range(query: RangeQuery): BatchLocation[];
  /** Drops every batch of a segment. */
  removeSegment(segmentId: number): void;
  count(): number;
  close(): Promise<void>;
}

export interface RangeQuery {
  readonly partitionId: PartitionId;
  readonly epoch: Epoch;
  readonly from: Offset;
  readonly until: Offset;
  readonly limit: number;
}
