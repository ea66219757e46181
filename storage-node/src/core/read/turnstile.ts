/** Lets at most `limit` through at a time; the others wait in the order in which they came. */
import { Fifo } from '../fifo.ts';

export class Turnstile {
  readonly #limit: number;
  readonly #waiting = new Fifo<() => void>();
  readonly #onIdle: (() => void)[] = [];
  #inside = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when nobody is inside. */
  async idle(): Promise<void> {
    if (this.#inside === 0) return;
    await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async pass<T>(action: () => Promise<T>): Promise<T> {
    if (this.#inside < this.#limit) this.#inside++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await action();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#leave();
      else next();
    }
  }

  #leave(): void {
    this.#inside--;
    if (this.#inside > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}
