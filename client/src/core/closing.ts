/** Whether something was closed, and who must know at once: procedures that wait wake up, look, and return. */
import type { Registration } from '@pyralog/shared/core';

export class Closing {
  readonly #listeners = new Set<() => void>();
  #isClosed = false;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  onClose(listener: () => void): Registration {
    this.#listeners.add(listener);
    return { cancel: () => this.#listeners.delete(listener) };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const listener of [...this.#listeners]) listener();
    this.#listeners.clear();
  }
}
