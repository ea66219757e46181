/** A first-in first-out list whose `shift` does not move the rest. What was taken is let go of at once. */
const COMPACT_AFTER = 1_024;

export class Fifo<T> {
  #slots: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#slots.length - this.#head;
  }

  push(item: T): void {
    this.#slots.push(item);
  }

  /** The item `index` places behind the oldest. */
  at(index: number): T | undefined {
    return this.#slots[this.#head + index];
  }

  shift(): T | undefined {
    const item = this.#slots[this.#head];
    if (this.#head >= this.#slots.length) return undefined;
    this.#slots[this.#head] = undefined;
    this.#head++;
    if (this.#head === this.#slots.length) this.#reset([]);
    else if (this.#head >= COMPACT_AFTER && this.#head * 2 >= this.#slots.length)
      this.#reset(this.#slots.slice(this.#head));
    return item;
  }

  #reset(slots: (T | undefined)[]): void {
    this.#slots = slots;
    this.#head = 0;
  }
}
