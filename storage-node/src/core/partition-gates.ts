/**
 * Who may store into a partition: the highest epoch seen and the nonce bound to it. Kept in memory for every partition
 * the node has ever stored; restored from the index and the segments after it.
 *
 * A store raises the gate when it arrives, before it is durable: refusing an older epoch early is always safe, since
 * epoch e+1 stores nothing until e is closed. The writer asks the gate again when it assembles the commit.
 */
import type { Epoch, FrameHeader, Nonce, Offset, PartitionId, PartitionState } from '@pyralog/shared/core';
import type { QueuedFrame } from './store-queue.ts';

/** `highestEnd` when it has to be looked up. */
export const UNKNOWN_END = -1;

export class PartitionGate {
  readonly partitionId: PartitionId;
  epoch: Epoch;
  nonce: Nonce | undefined;
  releasedOffset: Offset;
  /** End of the furthest batch of `epoch` that was ever queued or stored: what begins there or later is new. */
  highestEnd: number;
  /** Batches of `epoch` that wait for their commit, by base offset. */
  pending = new Map<number, QueuedFrame>();

  constructor(state: PartitionState, highestEnd: number) {
    this.partitionId = state.partitionId;
    this.epoch = state.epoch;
    this.nonce = state.nonce;
    this.releasedOffset = state.releasedOffset;
    this.highestEnd = highestEnd;
  }

  /**
   * Whether a frame is refused that is written under `ballot`. A store's ballot is its own epoch; a recovery writes
   * batches of the epoch that it has sealed back under a higher one.
   */
  refuses(header: FrameHeader, ballot: Epoch = header.epoch): boolean {
    if (ballot > header.epoch) return ballot < this.epoch;
    if (header.epoch !== this.epoch) return header.epoch < this.epoch;
    return this.nonce !== undefined && this.nonce !== header.nonce;
  }

  /** Takes notice of a frame that is not refused. */
  pass(header: FrameHeader): void {
    if (header.epoch > this.epoch) {
      this.epoch = header.epoch;
      this.nonce = undefined;
      this.highestEnd = 0;
      this.pending = new Map();
    }
    if (header.kind === 'batch') this.nonce = header.nonce;
    if (header.releasedOffset > this.releasedOffset) this.releasedOffset = header.releasedOffset;
  }

  state(): PartitionState {
    const { partitionId, epoch, nonce, releasedOffset } = this;
    return { partitionId, epoch, nonce, releasedOffset };
  }
}

export class PartitionGates {
  readonly #gates = new Map<PartitionId, PartitionGate>();

  restore(states: Iterable<PartitionState>): void {
    for (const state of states) this.#gates.set(state.partitionId, new PartitionGate(state, UNKNOWN_END));
  }

  get(partitionId: PartitionId): PartitionGate | undefined {
    return this.#gates.get(partitionId);
  }

  open(partitionId: PartitionId): PartitionGate {
    const known = this.#gates.get(partitionId);
    if (known !== undefined) return known;
    const state: PartitionState = { partitionId, epoch: 0 as Epoch, nonce: undefined, releasedOffset: 0 as Offset };
    const gate = new PartitionGate(state, 0);
    this.#gates.set(partitionId, gate);
    return gate;
  }
}
