/**
 * The bytes that a sequencer holds over all its partitions: unreleased batches, and late ones (released, but not yet on
 * every member of their copyset). Late batches yield: past their bound the oldest is given up on.
 */
import { assert } from '@pyralog/shared/core';
import type { PendingBatch } from './pending-batch.ts';

export interface WindowLimits {
  /** Unreleased bytes of one partition. */
  readonly partitionBytesMax: number;
  readonly partitionBatchesMax: number;
  /** Unreleased and late bytes of all partitions. */
  readonly bytesMax: number;
  /** Late bytes of all partitions. */
  readonly lateBytesMax: number;
}

export class Window {
  readonly limits: WindowLimits;
  #unreleasedBytes = 0;
  #lateBytes = 0;
  /** Late batches, oldest first; settled ones leave when they reach the head. */
  #late: PendingBatch[] = [];
  #lateHead = 0;
  /** Copies that were given up on because the bound was reached, or their node stayed away. */
  copiesGivenUp = 0;
  /** Since the start of the process. */
  admittedBytes = 0;
  admittedRecords = 0;

  constructor(limits: WindowLimits) {
    this.limits = limits;
  }

  get bytes(): number {
    return this.#unreleasedBytes + this.#lateBytes;
  }

  hasRoom(bytes: number): boolean {
    return this.bytes + bytes <= this.limits.bytesMax;
  }

  admit(bytes: number, records: number): void {
    this.#unreleasedBytes += bytes;
    this.admittedBytes += bytes;
    this.admittedRecords += records;
  }

  /** An unreleased batch leaves the window: it is on every member, or its epoch ended. */
  leave(bytes: number): void {
    this.#unreleasedBytes -= bytes;
    assert(this.#unreleasedBytes >= 0, 'window holds less than nothing');
  }

  /** A batch was released before all members had it. Gives up on the oldest late batches while there are too many. */
  becomeLate(batch: PendingBatch): void {
    const bytes = batch.frame.byteLength;
    this.#unreleasedBytes -= bytes;
    this.#lateBytes += bytes;
    this.#late.push(batch);
    while (this.#lateBytes > this.limits.lateBytesMax) {
      const oldest = this.#late[this.#lateHead];
      assert(oldest !== undefined, 'late bytes without late batches');
      this.#lateHead++;
      if (!oldest.settled) oldest.partition.giveUp(oldest);
    }
    this.#compact();
  }

  /** A late batch is on every member, or is given up on. Call before it is settled. */
  leaveLate(batch: PendingBatch): void {
    this.#lateBytes -= batch.frame.byteLength;
    this.copiesGivenUp += batch.copyset.length - batch.copies;
    assert(this.#lateBytes >= 0, 'window holds less than nothing');
  }

  #compact(): void {
    while (this.#late[this.#lateHead]?.settled === true) this.#lateHead++;
    if (this.#lateHead > 1_024 && this.#lateHead * 2 > this.#late.length) {
      this.#late = this.#late.slice(this.#lateHead);
      this.#lateHead = 0;
    }
  }
}
