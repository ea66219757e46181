/** Randomness from the operating system, as the `Random` port. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../core/index.ts';

const TWO_TO_53 = 2 ** 53;

export const systemRandom: Random = {
  /** 53 random bits, the resolution of a double in [0, 1). */
  fraction: () => Number(randomBytes(8).readBigUInt64LE() >> 11n) / TWO_TO_53,
  u64: () => randomBytes(8).readBigUInt64LE(),
};
