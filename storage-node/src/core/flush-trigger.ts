/**
 * When the writer begins a commit: at once when something waits for its acknowledgement (after `commitDelayMs` when
 * that is set) or a whole commit has gathered; after `flushIntervalMs` when only `memory` batches wait.
 */
import type { Clock, Timer } from '@pyralog/shared/core';
import type { CommitLimits } from './commit-limits.ts';
import type { StoreQueue } from './store-queue.ts';

export class FlushTrigger {
  readonly #clock: Clock;
  readonly #limits: CommitLimits;
  readonly #run: () => Promise<void>;
  #timer: Timer | undefined;
  #delayMs = 0;
  #deferred = false;

  constructor(clock: Clock, limits: CommitLimits, run: () => Promise<void>) {
    this.#clock = clock;
    this.#limits = limits;
    this.#run = run;
  }

  /** Whether the next commit should follow the last one without a pause. */
  isDue(queue: StoreQueue): boolean {
    return queue.bytes >= this.#limits.commitBytesMax || (queue.urgent > 0 && this.#limits.commitDelayMs === 0);
  }

  /** Sees to it that what is queued is committed in time. */
  arm(queue: StoreQueue): void {
    if (queue.length === 0 || this.#deferred) return;
    if (this.isDue(queue)) {
      this.cancel();
      this.#deferred = true;
      this.#clock.defer(() => {
        this.#deferred = false;
        void this.#run();
      });
      return;
    }
    const delayMs = queue.urgent > 0 ? this.#limits.commitDelayMs : this.#limits.flushIntervalMs;
    if (this.#timer !== undefined && this.#delayMs <= delayMs) return;
    this.cancel();
    this.#delayMs = delayMs;
    this.#timer = this.#clock.schedule(delayMs, () => {
      this.#timer = undefined;
      void this.#run();
    });
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
