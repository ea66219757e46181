/** What the partitions of one reader share. */

import type { PartitionStatuses } from '../partition-statuses.ts';
import type { ClientPorts } from '../ports.ts';
import type { CachedTopology } from '../topology.ts';
import type { NodeHealth } from './node-health.ts';
import type { ReaderNotice } from './options.ts';
import type { ReadRequests } from './read-requests.ts';

export interface ReaderContext {
  readonly ports: ClientPorts;
  readonly topology: CachedTopology;
  readonly statuses: PartitionStatuses;
  readonly reads: ReadRequests;
  readonly health: NodeHealth;
  readonly tailBudget: ByteBudget;
  /** Bytes that each partition may hold of what storage nodes sent. */
  readonly partitionBytes: number;
  readonly notice: (notice: ReaderNotice) => void;
}

/** Bytes that several may hold together. */
export class ByteBudget {
  readonly #bytesMax: number;
  #usedBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  tryTake(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#bytesMax) return false;
    this.#usedBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
