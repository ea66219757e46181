/** What a storage node counts since its start. */
export class Counters {
  storedBatches = 0;
  storedRecords = 0;
  storedBytes = 0;
  commits = 0;
  /** Batches that arrived again. */
  duplicateBatches = 0;
  fencedBatches = 0;
  readOnlyBatches = 0;
  /** Frames that failed verification and were dropped. */
  malformedFrames = 0;
  /** Batches that overlap a different batch of the same activation. */
  conflictingBatches = 0;
  /** Batches dropped because the store queue was full. */
  overflowedBatches = 0;
  reads = 0;
  readBatches = 0;
  readBytes = 0;
  refusedReads = 0;
  /** Batches that a read left out because their copy on disk is damaged. */
  damagedBatches = 0;
  /** Bytes inside synced data that replay found damaged. */
  quarantinedBytes = 0;
}
