/** Randomness that a seed repeats: mulberry32 (Tommy Ettinger, public domain). */
import type { Random } from '@pyralog/shared/core';

export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  fraction(): number {
    return this.#u32() / 0x1_0000_0000;
  }

  u64(): bigint {
    return (BigInt(this.#u32()) << 32n) | BigInt(this.#u32());
  }

  /** Uniform in [0, below). */
  below(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  #u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}
