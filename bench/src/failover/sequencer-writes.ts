/**
 * Bytes that sequencers caused to be written to disk, over all their lives: the counters of a process are gone with it, so
 * they are read again and again.
 */
import { type ClusterProcess, processWriteBytes } from '@pyralog/infra';
import { PyralogError } from '@pyralog/shared/core';

const INTERVAL_MS = 50;

export class SequencerWrites {
  readonly #bytes = new Map<number, number>();

  /** Follows `sequencers`, whatever processes they become, until the returned function is called. */
  watch(sequencers: readonly ClusterProcess[]): () => void {
    const timer = setInterval(() => {
      for (const sequencer of sequencers) if (sequencer.running) void this.#read(sequencer.pid);
    }, INTERVAL_MS);
    return () => clearInterval(timer);
  }

  /** Processes that were followed. */
  get processes(): number {
    return this.#bytes.size;
  }

  get bytes(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  async #read(pid: number): Promise<void> {
    try {
      const bytes = await processWriteBytes(pid);
      this.#bytes.set(pid, Math.max(bytes, this.#bytes.get(pid) ?? 0));
    } catch (error) {
      // It has just ended.
      if (!(error instanceof PyralogError)) throw error;
    }
  }
}
