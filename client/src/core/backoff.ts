/** Delays between attempts: doubling, bounded, and jittered so that clients that failed together do not return together. */
import type { Random } from '@pyralog/shared/core';

export interface BackoffBounds {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
}

export class Backoff {
  readonly #random: Random;
  readonly #bounds: BackoffBounds;
  #attempts = 0;

  constructor(random: Random, bounds: BackoffBounds) {
    this.#random = random;
    this.#bounds = bounds;
  }

  /** Attempts since the last success. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Milliseconds until the next attempt: between half of the bound reached and all of it. */
  next(): number {
    const { delayMsMin, delayMsMax } = this.#bounds;
    const bound = Math.min(delayMsMax, delayMsMin * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return bound * (0.5 + this.#random.fraction() / 2);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
