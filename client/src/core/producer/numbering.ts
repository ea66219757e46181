/**
 * The sequences of one producer in one partition: batches are contiguous in them, under one producer id and epoch.
 *
 * A batch that is given up on leaves a gap, which the owner would refuse to pass. The next producer epoch starts again at 0,
 * and under it the owner refuses whatever of the epoch before it is still on its way.
 */
import type { Random } from '@pyralog/shared/core';
import type { Batch } from './batch.ts';

const PRODUCER_EPOCH_MAX = 0xffff;
const SEQUENCES = 0x1_0000_0000;

/** Names a run of sequences. Told apart by identity. */
export interface Numbering {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export class Sequences {
  readonly #random: Random;
  #numbering: Numbering;
  #next = 0;
  #hasGap = false;

  constructor(random: Random, producerId: bigint) {
    this.#random = random;
    this.#numbering = { producerId, producerEpoch: 0 };
  }

  /** A batch of the numbering was given up on: the next sequence is no longer what the owner expects. */
  get hasGap(): boolean {
    return this.#hasGap;
  }

  isCurrent(batch: Batch): boolean {
    return batch.numbering === this.#numbering;
  }

  /** Gives the batch the next sequences, unless it has its own under the current numbering. */
  number(batch: Batch): void {
    if (this.isCurrent(batch)) return;
    batch.takeNumber(this.#numbering, this.#next);
    this.#next = (this.#next + batch.recordCount) % SEQUENCES;
  }

  leaveGap(): void {
    this.#hasGap = true;
  }

  /** Begins a new numbering. Nothing that is numbered and unsettled may have been applied. */
  restart(): void {
    const { producerId, producerEpoch } = this.#numbering;
    this.#numbering =
      producerEpoch < PRODUCER_EPOCH_MAX
        ? { producerId, producerEpoch: producerEpoch + 1 }
        : { producerId: this.#random.u64() || 1n, producerEpoch: 0 };
    this.#next = 0;
    this.#hasGap = false;
  }
}

/** How far sequence `a` is behind `b`, modulo 2^32; negative when it is ahead. */
export function sequencesBehind(a: number, b: number): number {
  return (b - a) | 0;
}
