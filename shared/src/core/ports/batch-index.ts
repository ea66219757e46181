/**
 * Where each batch lies. Derived from the segments and rebuilt from them when lost.
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
  /** What the segments hold before this place is in the index once this commit is. */
  readonly checkpoint: Checkpoint;
}

export interface BatchIndex {
  /**
   * One transaction, durable when the promise resolves. Writing a batch or a partition again replaces it. One commit at
   * a time.
   * @throws PyralogError `read-only` when the disk is full: nothing was written, it may be tried again; `unavailable`
   *   for any other failure.
   */
  commit(commit: IndexCommit): Promise<void>;
  readCheckpoint(): Checkpoint | undefined;
  partitions(): Iterable<PartitionState>;
  /** The batch of `epoch` that holds `offset`. */
  find(partitionId: PartitionId, epoch: Epoch, offset: Offset): BatchLocation | undefined;
  /** The last batch of `epoch`. */
  last(partitionId: PartitionId, epoch: Epoch): BatchLocation | undefined;
  /** The last batch of the highest epoch. */
  lastOf(partitionId: PartitionId): BatchLocation | undefined;
  /** Up to `limit` batches of `epoch` that end after `from` and begin before `until`, ascending. */
  range(query: RangeQuery): BatchLocation[];
  /** The segments that batches were ever indexed in and that were not removed since, ascending. */
  segmentIds(): number[];
  /** Drops every batch of a segment. */
  removeSegment(segmentId: number): Promise<void>;
  count(): number;
  /** It said something that the segments disprove: it is deleted and rebuilt at the next start. */
  distrust(): void;
  close(): Promise<void>;
}

export interface RangeQuery {
  readonly partitionId: PartitionId;
  readonly epoch: Epoch;
  readonly from: Offset;
  readonly until: Offset;
  readonly limit: number;
}
