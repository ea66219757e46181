/**
 * A batch between its stamp and its last copy.
 *
 * It is *unreleased* until it and everything before it has W copies; then its clients are answered. It is *late* from
 * then until every member of its copyset has it or is given up on; its bytes are kept for resends meanwhile.
 */
import { type AppendReply, assert, type Copyset, type Offset } from '@pyralog/shared/core';
import type { ServingPartition } from './serving-partition.ts';

const NO_BYTES = new Uint8Array(0);

export class PendingBatch {
  readonly partition: ServingPartition;
  readonly baseOffset: Offset;
  readonly recordCount: number;
  readonly appendTimeMs: number;
  /** The stamped frame; empty once the batch is settled. */
  frame: Uint8Array;
  readonly copyset: Copyset;
  /** Where to answer: one subject, more after retries of an idempotent producer. */
  readonly replyTo: string[];
  released = false;
  /** When it was last sent to members that lack it, and how long to wait before the next time. Monotonic milliseconds. */
  sentAtMs: number;
  resendAfterMs: number;
  /** Bit i: member i of the copyset has acknowledged. */
  #acknowledged = 0;
  #copies = 0;

  constructor(options: {
    partition: ServingPartition;
    baseOffset: Offset;
    recordCount: number;
    appendTimeMs: number;
    frame: Uint8Array;
    copyset: Copyset;
    replyTo: string | undefined;
    sentAtMs: number;
    resendAfterMs: number;
  }) {
    this.partition = options.partition;
    this.baseOffset = options.baseOffset;
    this.recordCount = options.recordCount;
    this.appendTimeMs = options.appendTimeMs;
    this.frame = options.frame;
    this.copyset = options.copyset;
    this.replyTo = options.replyTo === undefined ? [] : [options.replyTo];
    this.sentAtMs = options.sentAtMs;
    this.resendAfterMs = options.resendAfterMs;
  }

  get endOffset(): Offset {
    return (this.baseOffset + this.recordCount) as Offset;
  }

  get copies(): number {
    return this.#copies;
  }

  /** All members have it or were given up on: its bytes are gone. */
  get settled(): boolean {
    return this.frame.byteLength === 0;
  }

  settle(): void {
    this.frame = NO_BYTES;
  }

  get complete(): boolean {
    return this.#copies === this.copyset.length;
  }

  get reply(): AppendReply {
    return { epoch: this.partition.epoch, baseOffset: this.baseOffset, appendTimeMs: this.appendTimeMs };
  }

  has(member: number): boolean {
    return (this.#acknowledged & (1 << member)) !== 0;
  }

  /** Counts the copy of member `member` of the copyset, once. */
  acknowledge(member: number): void {
    assert(member >= 0 && member < this.copyset.length, 'member is outside the copyset');
    if (this.has(member)) return;
    this.#acknowledged |= 1 << member;
    this.#copies++;
  }
}
