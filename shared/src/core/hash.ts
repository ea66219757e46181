/**
 * Hash functions that are part of the protocol: their vectors are in docs/FORMAT.md and they never change.
 */

/**
 * MurmurHash2, 32 bits, seed 0x9747b28c: what Kafka's default partitioner applies to keys
 * (org.apache.kafka.common.utils.Utils.murmur2; algorithm by Austin Appleby, public domain).
 */
export function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995;
  const length = bytes.byteLength;
  let hash = 0x9747b28c ^ length;
  const whole = length & ~3;
  for (let index = 0; index < whole; index += 4) {
    let word =
      byte(bytes, index) |
      (byte(bytes, index + 1) << 8) |
      (byte(bytes, index + 2) << 16) |
      (byte(bytes, index + 3) << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> 24;
    word = Math.imul(word, multiplier);
    hash = Math.imul(hash, multiplier) ^ word;
  }
  if (length > whole) {
    for (let index = length - 1; index >= whole; index--) hash ^= byte(bytes, index) << (8 * (index - whole));
    hash = Math.imul(hash, multiplier);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  hash ^= hash >>> 15;
  return hash >>> 0;
}

function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** The partition of a key: `(murmur2(key) & 0x7fffffff) mod partitions`, as Kafka's default partitioner does. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitions;
}

/** The finalizer of MurmurHash3 (fmix32; Austin Appleby, public domain): every input bit flips half of the output. */
function finalize(hash: number): number {
  let mixed = hash;
  mixed ^= mixed >>> 16;
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  mixed ^= mixed >>> 16;
  return mixed >>> 0;
}

/** Hash of a sequence of u32 words, u32: each word is mixed in by `fmix32(hash * 31 + word + 0x9e3779b9)`. */
export function hashWords(...words: readonly number[]): number {
  let hash = 0;
  for (const word of words) hash = finalize((Math.imul(hash, 31) + (word | 0) + 0x9e3779b9) | 0);
  return hash;
}

/** Hash of (seed, partition, offset) for placement, u32: `hashWords(seed, partitionId, offset low, offset high)`. */
export function hashPlacement(seed: number, partitionId: number, offset: number): number {
  let hash = finalize((seed + 0x9e3779b9) | 0);
  hash = finalize((Math.imul(hash, 31) + partitionId + 0x9e3779b9) | 0);
  hash = finalize((Math.imul(hash, 31) + (offset | 0) + 0x9e3779b9) | 0);
  return finalize((Math.imul(hash, 31) + Math.floor(offset / 0x1_0000_0000) + 0x9e3779b9) | 0);
}

/**
 * Ranks `candidates` for `subject`, best first, by rendezvous hashing (highest random weight; Thaler and Ravishankar,
 * 1996): whoever leaves or joins moves only its own share.
 */
export function rendezvousRank<T extends string>(
  subject: number,
  candidates: Iterable<T>,
  hashOf: (id: T) => number,
): T[] {
  return [...candidates]
    .map((id) => ({ id, weight: hashWords(hashOf(id), subject) }))
    .sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
}
