/**
 * How callbacks wake the one procedure that waits for them. A wake that comes while nobody waits is kept, so that none is
 * lost between a check and the wait that follows it.
 */
import type { Clock } from '@pyralog/shared/core';

export class Wake {
  #woken = false;
  #resolve: (() => void) | undefined;

  wake(): void {
    this.#woken = true;
    const resolve = this.#resolve;
    this.#resolve = undefined;
    resolve?.();
  }

  /** Resolves at the next wake, or at once when one came since the last wait. */
  async wait(): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
    }
    this.#woken = false;
  }

  /** As `wait`, for at most `timeoutMs`. */
  async waitFor(clock: Clock, timeoutMs: number): Promise<void> {
    if (this.#woken) {
      this.#woken = false;
      return;
    }
    const timer = clock.schedule(timeoutMs, () => this.wake());
    try {
      await this.wait();
    } finally {
      timer.cancel();
    }
  }
}
