/**
 * Fetches stored batches from memory or from the segments. Nothing from a disk is believed: both checksums are checked,
 * and that the frame is the batch which the directory named. A batch that fails is left out, counted and reported, and
 * so looks to a reader like a copy that is missing; a sound frame of another batch shows that the index lies.
 */
import {
  type BatchLocation,
  type Crc32,
  checkFrame,
  describeError,
  type FrameHeader,
  LIMITS,
  PyralogError,
} from '@pyralog/shared/core';
import type { BatchDirectory } from '../batch-directory.ts';
import type { Counters } from '../counters.ts';
import type { OpenSegments } from '../open-segments.ts';
import type { RateLimitedWarnings } from '../rate-limited-warnings.ts';
import type { RecentBatches } from '../recent-batches.ts';
import { Turnstile } from './turnstile.ts';

/** Batches that lie this close together are fetched by one read, what is between them included. */
const GAP_BYTES_MAX = 32 * 1024;
/** Bytes of one read, unless one frame alone is larger. */
const READ_BYTES_MAX = 512 * 1024;

export interface FrameReaderOptions {
  readonly segments: OpenSegments;
  readonly recent: RecentBatches;
  readonly directory: BatchDirectory;
  readonly counters: Counters;
  readonly warnings: RateLimitedWarnings;
  readonly crc32: Crc32;
}

/** A sound batch. */
export interface FetchedBatch {
  readonly location: BatchLocation;
  readonly frame: Uint8Array;
}

export class FrameReader {
  readonly #options: FrameReaderOptions;
  /** Commits and reads share the few threads that do I/O. */
  readonly #disk = new Turnstile(LIMITS.diskReadsInFlightMax);

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /**
   * Fetches a run of `locations` from `from` on: as many as memory has or one read of the disk covers, at least one.
   * `next` is the index after them; damaged ones are not among `batches`.
   */
  async fetch(locations: readonly BatchLocation[], from: number): Promise<{ batches: FetchedBatch[]; next: number }> {
    const batches: FetchedBatch[] = [];
    let next = from;
    for (; next < locations.length; next++) {
      const location = locations[next];
      if (location === undefined) break;
      const frame = this.#options.recent.find(location.segmentId, location.position, location.length);
      if (frame === undefined) break;
      batches.push({ location, frame });
    }
    if (next > from) return { batches, next };
    return this.#fetchFromDisk(locations, from);
  }

  async #fetchFromDisk(
    locations: readonly BatchLocation[],
    from: number,
  ): Promise<{ batches: FetchedBatch[]; next: number }> {
    const run = adjacent(locations, from);
    const first = run[0];
    const last = run.at(-1);
    if (first === undefined || last === undefined) return { batches: [], next: from + 1 };
    const length = last.position + last.length - first.position;
    let bytes: Uint8Array;
    try {
      bytes = await this.#disk.pass(() =>
        this.#options.segments.use(first.segmentId, (file) => file.read(first.position, length)),
      );
    } catch (reason) {
      if (!(reason instanceof PyralogError)) throw reason;
      for (const location of run) this.#report(location, describeError(reason));
      return { batches: [], next: from + run.length };
    }
    const batches: FetchedBatch[] = [];
    for (const location of run) {
      const frame = bytes.subarray(
        location.position - first.position,
        location.position - first.position + location.length,
      );
      if (this.#isSound(location, frame)) batches.push({ location, frame });
    }
    return { batches, next: from + run.length };
  }

  #isSound(location: BatchLocation, frame: Uint8Array): boolean {
    let header: FrameHeader;
    try {
      header = checkFrame(frame, this.#options.crc32);
    } catch (reason) {
      this.#report(location, describeError(reason));
      return false;
    }
    const { partitionId, epoch, baseOffset, recordCount, length } = location;
    const asIndexed =
      header.kind === 'batch' &&
      header.partitionId === partitionId &&
      header.epoch === epoch &&
      header.baseOffset === baseOffset &&
      header.recordCount === recordCount &&
      header.frameLength === length;
    if (asIndexed) return true;
    this.#report(location, 'index names another batch');
    this.#options.directory.distrustIndex();
    return false;
  }

  #report(location: BatchLocation, problem: string): void {
    const { partitionId, epoch, baseOffset, segmentId, position } = location;
    this.#options.counters.damagedBatches++;
    this.#options.warnings.warn('stored batch is damaged and is left out', {
      partitionId,
      epoch,
      baseOffset,
      segmentId,
      position,
      problem,
    });
  }
}

/** The locations from `from` on that one read covers. */
function adjacent(locations: readonly BatchLocation[], from: number): BatchLocation[] {
  const first = locations[from];
  if (first === undefined) return [];
  const run = [first];
  let end = first.position + first.length;
  for (let index = from + 1; index < locations.length; index++) {
    const next = locations[index];
    if (next === undefined || next.segmentId !== first.segmentId) break;
    const gap = next.position - end;
    if (gap < 0 || gap > GAP_BYTES_MAX || next.position + next.length - first.position > READ_BYTES_MAX) break;
    run.push(next);
    end = next.position + next.length;
  }
  return run;
}
