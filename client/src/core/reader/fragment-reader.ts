/** One fragment of one partition, as those who read it see it. */
import {
  CopysetTable,
  type Fragment,
  type Offset,
  type PartitionId,
  type ReadRequest,
  type StorageNodeId,
} from '@pyralog/shared/core';
import type { ReaderContext } from './context.ts';

export class FragmentReader {
  readonly context: ReaderContext;
  /** Number of the partition in its log. */
  readonly partition: number;
  readonly partitionId: PartitionId;
  readonly fragment: Fragment;
  readonly table: CopysetTable;
  readonly nodeIds: readonly StorageNodeId[];
  #releasedOffset: Offset;

  constructor(context: ReaderContext, partition: number, partitionId: PartitionId, fragment: Fragment) {
    this.context = context;
    this.partition = partition;
    this.partitionId = partitionId;
    this.fragment = fragment;
    this.table = new CopysetTable(fragment);
    this.nodeIds = [...new Set(fragment.slots.map((slot) => slot.nodeId))];
    this.#releasedOffset = fragment.start;
  }

  /** The highest released offset that storage nodes reported. */
  get releasedOffset(): Offset {
    return this.#releasedOffset;
  }

  releasedOffsetSeen(offset: Offset): void {
    if (offset > this.#releasedOffset) this.#releasedOffset = offset;
  }

  request(options: { from: Offset; until: Offset; exclude: StorageNodeId[]; credit: number }): ReadRequest {
    const { strategy, seed, scatterWidth, replicationFactor } = this.fragment;
    const slots = this.fragment.slots.map(({ nodeId, zone }) => (zone === undefined ? { nodeId } : { nodeId, zone }));
    return {
      partitionId: this.partitionId,
      epoch: this.fragment.epoch,
      placement: { strategy, seed, scatterWidth, replicationFactor, slots },
      ...options,
    };
  }

  /** Nodes that may hold the batch at `offset`: its copyset, or the whole nodeset when `offset` may be inside a batch. */
  holders(offset: Offset, isBase: boolean): StorageNodeId[] {
    if (!isBase) return [...this.nodeIds];
    return this.table.nodeIds(this.table.copyset(this.partitionId, offset));
  }
}
