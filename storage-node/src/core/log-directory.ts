/**
 * The namespace of each partition, followed from the bucket `cluster`: a read is served only within the namespace that
 * its subject names. It may be behind; then a partition is unknown for a moment and the reader asks again.
 */
import {
  CLUSTER_KEYS,
  decodeMetadata,
  describeError,
  type LogConfig,
  type Logger,
  logSchema,
  type MetadataChange,
  type PartitionId,
} from '@pyralog/shared/core';

export class LogDirectory {
  readonly #logger: Logger;
  readonly #logs = new Map<string, LogConfig>();
  /** Ascending by first partition; ids are given out once, so the ranges are disjoint. `undefined` after a change. */
  #sorted: LogConfig[] | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Takes a change of the bucket `cluster`; keys that are not of logs are ignored. */
  apply(change: MetadataChange): void {
    const key = change.kind === 'put' ? change.entry.key : change.key;
    if (!key.startsWith(CLUSTER_KEYS.logPrefix)) return;
    this.#sorted = undefined;
    if (change.kind === 'deleted') {
      this.#logs.delete(key);
      return;
    }
    try {
      this.#logs.set(key, decodeMetadata(logSchema, key, change.entry.value));
    } catch (reason) {
      this.#logs.delete(key);
      this.#logger.error('log is not readable in the metadata', { key, problem: describeError(reason) });
    }
  }

  /** The namespace of a partition's log; `undefined` when no log is known to have it. */
  namespaceOf(partitionId: PartitionId): string | undefined {
    this.#sorted ??= [...this.#logs.values()].sort((a, b) => a.firstPartitionId - b.firstPartitionId);
    const log = this.#sorted[this.#firstAfter(this.#sorted, partitionId) - 1];
    if (log === undefined || partitionId >= log.firstPartitionId + log.partitionCount) return undefined;
    return log.namespace;
  }

  #firstAfter(sorted: readonly LogConfig[], partitionId: PartitionId): number {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const log = sorted[middle];
      if (log !== undefined && log.firstPartitionId <= partitionId) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
