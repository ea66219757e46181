/** Observes the appends to one partition: how long each waited, and how long nothing was acknowledged. */
import type { PartitionTrace } from './trickle-task.ts';

export class PartitionObserver {
  readonly partition: number;
  readonly isProbed: boolean;
  appended = 0;
  outOfOrder = 0;
  #lastOffset = -1;
  #lastEpoch = 0;
  #lastAcknowledgedAtMs: number;
  /** Calls that are neither acknowledged nor failed: when each was made, in order. */
  readonly #waiting = new Map<number, number>();
  #epochBefore = 0;
  #longestWaitMs = 0;
  #longestSilenceMs = 0;
  #acknowledged = 0;
  #failed = 0;
  /** Call and acknowledgement of every append since `mark`, in the order of the acknowledgements. */
  #times: { readonly sentAtMs: number; readonly acknowledgedAtMs: number }[] = [];

  constructor(partition: number, isProbed: boolean, nowMs: number) {
    this.partition = partition;
    this.isProbed = isProbed;
    this.#lastAcknowledgedAtMs = nowMs;
  }

  get unacknowledged(): number {
    return this.#waiting.size;
  }

  /** @returns the sequence of the record. */
  sent(nowMs: number): number {
    this.#waiting.set(this.appended, nowMs);
    return this.appended++;
  }

  acknowledged(sequence: number, offset: number, epoch: number, nowMs: number): void {
    const sentAtMs = this.#waiting.get(sequence) ?? nowMs;
    this.#waiting.delete(sequence);
    if (offset <= this.#lastOffset || epoch < this.#lastEpoch) this.outOfOrder++;
    this.#lastOffset = offset;
    this.#lastEpoch = epoch;
    this.#longestWaitMs = Math.max(this.#longestWaitMs, nowMs - sentAtMs);
    this.#longestSilenceMs = Math.max(this.#longestSilenceMs, nowMs - this.#lastAcknowledgedAtMs);
    this.#lastAcknowledgedAtMs = nowMs;
    this.#acknowledged++;
    this.#times.push({ sentAtMs, acknowledgedAtMs: nowMs });
  }

  failed(sequence: number): void {
    this.#waiting.delete(sequence);
    this.#failed++;
  }

  mark(): void {
    this.#epochBefore = this.#lastEpoch;
    this.#longestWaitMs = 0;
    this.#longestSilenceMs = 0;
    this.#acknowledged = 0;
    this.#failed = 0;
    this.#times = [];
  }

  /** Milliseconds from `sinceMs` to the first acknowledgement of an append that was sent after it. */
  recoveredMs(sinceMs: number): number | undefined {
    const first = this.#times.find(({ sentAtMs }) => sentAtMs > sinceMs);
    return first === undefined ? undefined : first.acknowledgedAtMs - sinceMs;
  }

  trace(sinceMs: number, nowMs: number): PartitionTrace {
    let longestWaitMs = this.#longestWaitMs;
    for (const sentAtMs of this.#waiting.values()) longestWaitMs = Math.max(longestWaitMs, nowMs - sentAtMs);
    return {
      partition: this.partition,
      isProbed: this.isProbed,
      recoveredMs: this.recoveredMs(sinceMs),
      longestWaitMs,
      longestSilenceMs: Math.max(this.#longestSilenceMs, nowMs - this.#lastAcknowledgedAtMs),
      acknowledged: this.#acknowledged,
      failed: this.#failed,
      epochBefore: this.#epochBefore,
      epochAfter: this.#lastEpoch,
    };
  }
}
