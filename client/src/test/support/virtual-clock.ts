/**
 * Time that passes when the test says so: the next event runs when everything before it has been dealt with. Runs of one
 * seed are alike, and no test waits for real time.
 */
import type { Clock, Timer } from '@pyralog/shared/core';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  isCancelled: boolean;
}

const WALL_START_MS = 1_700_000_000_000;

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap by time, then by order. */
  readonly #events: Event[] = [];

  wallMs(): number {
    return WALL_START_MS + Math.floor(this.#nowMs);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    if (!(delayMs >= 0 && delayMs < 2 ** 31)) throw new Error(`timer of ${delayMs} ms`);
    const event: Event = { atMs: this.#nowMs + delayMs, order: this.#order++, run: callback, isCancelled: false };
    this.#push(event);
    return {
      cancel: () => {
        event.isCancelled = true;
      },
    };
  }

  defer(callback: () => void): void {
    this.schedule(0, callback);
  }

  /** Lets time pass until `promise` settles. Fails when nothing more can happen, or `limitMs` have passed. */
  async until<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let isSettled = false;
    const settled = promise.finally(() => {
      isSettled = true;
    });
    settled.catch(() => undefined);
    const endMs = this.#nowMs + limitMs;
    for (;;) {
      await turn();
      if (isSettled) return settled;
      if (!this.#step(endMs)) throw new Error(`nothing more happens at ${this.#nowMs} ms (limit ${endMs})`);
    }
  }

  /** Lets `durationMs` pass. */
  async pass(durationMs: number): Promise<void> {
    await this.until(new Promise<void>((resolve) => this.schedule(durationMs, resolve)), durationMs + 1);
  }

  /** Timers that have not run and were not cancelled. */
  get pending(): number {
    return this.#events.filter((event) => !event.isCancelled).length;
  }

  #step(endMs: number): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return false;
      if (event.isCancelled) continue;
      if (event.atMs > endMs) {
        this.#push(event);
        return false;
      }
      this.#nowMs = Math.max(this.#nowMs, event.atMs);
      event.run();
      return true;
    }
  }

  #push(event: Event): void {
    const heap = this.#events;
    heap.push(event);
    for (let index = heap.length - 1; index > 0; ) {
      const parent = (index - 1) >> 1;
      if (!isBefore(heap[index], heap[parent])) break;
      swap(heap, index, parent);
      index = parent;
    }
  }

  #pop(): Event | undefined {
    const heap = this.#events;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    heap[0] = last;
    for (let index = 0; ; ) {
      let least = index;
      for (const child of [2 * index + 1, 2 * index + 2]) if (isBefore(heap[child], heap[least])) least = child;
      if (least === index) return first;
      swap(heap, index, least);
      index = least;
    }
  }
}

function isBefore(a: Event | undefined, b: Event | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order;
}

function swap(heap: Event[], a: number, b: number): void {
  const [first, second] = [heap[a], heap[b]];
  if (first === undefined || second === undefined) return;
  heap[a] = second;
  heap[b] = first;
}

/** Everything that promises make happen has happened. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
