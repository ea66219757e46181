/**
 * Whether there is room to store. Below `reserveBytes` free the node turns read-only before the disk is really full, so
 * that what is queued, the index and the next start still find room; it recovers a good deal above that, so that it
 * does not alternate. A write that meets a full disk all the same (a quota, another process) turns it read-only too.
 */
import { type Clock, describeError, type Logger, type SegmentDisk, type Timer } from '@pyralog/shared/core';

const PROBE_INTERVAL_MS = 1_000;

export interface DiskSpaceOptions {
  readonly disk: SegmentDisk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reserveBytes: number;
  readonly onRecovered: () => void;
}

export class DiskSpace {
  readonly #options: DiskSpaceOptions;
  #timer: Timer | undefined;
  #stopped = false;
  freeBytes = 0;
  state: 'serving' | 'read-only' = 'serving';

  constructor(options: DiskSpaceOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#probe();
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** So much was written since: at full speed a disk fills up between two probes. */
  consumed(bytes: number): void {
    this.freeBytes = Math.max(0, this.freeBytes - bytes);
    this.#judge();
  }

  /** A write found the disk full. */
  foundFull(reason: unknown): void {
    this.freeBytes = 0;
    if (this.state === 'read-only') return;
    this.state = 'read-only';
    this.#options.logger.error('disk is full: stores are refused, reads are served', {
      problem: describeError(reason),
    });
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.schedule(PROBE_INTERVAL_MS, () => {
      void this.#probe().then(() => this.#schedule());
    });
  }

  async #probe(): Promise<void> {
    const { disk, logger } = this.#options;
    try {
      this.freeBytes = await disk.freeBytes();
    } catch (reason) {
      logger.warn('free disk space is not known', { problem: describeError(reason) });
      return;
    }
    this.#judge();
  }

  #judge(): void {
    const { logger, reserveBytes, onRecovered } = this.#options;
    const { freeBytes } = this;
    if (this.#stopped) return;
    if (this.state === 'serving' && freeBytes < reserveBytes) {
      this.state = 'read-only';
      logger.error('disk is nearly full: stores are refused, reads are served', { freeBytes, reserveBytes });
    } else if (this.state === 'read-only' && freeBytes >= 2 * reserveBytes) {
      this.state = 'serving';
      logger.info('disk has room again: stores are accepted', { freeBytes, reserveBytes });
      onRecovered();
    }
  }
}
