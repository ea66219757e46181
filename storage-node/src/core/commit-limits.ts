/** What an operator may set of how a storage node commits. */
export interface CommitLimits {
  readonly segmentBytes: number;
  readonly commitBytesMax: number;
  /** Gathers for this long; 0 commits as soon as the last commit finished. */
  readonly commitDelayMs: number;
  /** Longest time that `memory` batches wait. */
  readonly flushIntervalMs: number;
}
