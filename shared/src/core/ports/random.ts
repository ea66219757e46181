/** Randomness, as `core/` sees it. */
export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** Uniform u64; from a cryptographic source in production, since nonces and incarnations are made of it. */
  u64(): bigint;
}
