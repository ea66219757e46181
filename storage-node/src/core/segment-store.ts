/**
 * What a storage node keeps: the segments, the directory of what is in them, and the writer. How it is opened from the
 * disk, and closed.
 *
 * Open: the segments are checked, the index is brought up to them, and the tail that is not proven durable is written
 * again; only then may anything be served or acknowledged.
 */
import type { BatchIndex, Clock, Crc32, Incarnation, Logger, Random, SegmentDisk } from '@pyralog/shared/core';
import type { Acknowledgements } from './acknowledgements.ts';
import { BatchDirectory } from './batch-directory.ts';
import type { CommitLimits } from './commit-limits.ts';
import type { Counters } from './counters.ts';
import { DiskSpace } from './disk-space.ts';
import { OpenSegments } from './open-segments.ts';
import { PartitionGates } from './partition-gates.ts';
import { RecentBatches } from './recent-batches.ts';
import { checkSegments, type FoundSegment } from './replay/check-segments.ts';
import { indexFits, type Replayed, replay } from './replay/replay.ts';
import { SegmentWriter } from './segment-writer.ts';

export interface SegmentStoreOptions {
  readonly limits: CommitLimits;
  readonly recentBytesMax: number;
  readonly checkpointIntervalMs: number;
  /** Of the data directory. */
  readonly incarnation: Incarnation;
  readonly disk: SegmentDisk;
  /** Opens the index, a new one when the last one is distrusted. */
  readonly openIndex: () => Promise<BatchIndex>;
  readonly acknowledgements: Acknowledgements;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly random: Random;
  readonly crc32: Crc32;
  readonly logger: Logger;
  readonly onFatal: (reason: unknown) => void;
}

interface StoreParts {
  readonly index: BatchIndex;
  readonly directory: BatchDirectory;
  readonly gates: PartitionGates;
  readonly segments: OpenSegments;
  readonly recent: RecentBatches;
  readonly space: DiskSpace;
  readonly writer: SegmentWriter;
  readonly segmentsFound: number;
  readonly hasLost: boolean;
}

export class SegmentStore {
  readonly directory: BatchDirectory;
  readonly gates: PartitionGates;
  readonly segments: OpenSegments;
  readonly recent: RecentBatches;
  readonly space: DiskSpace;
  readonly writer: SegmentWriter;
  /** Something that was stored here is lost, now or in an earlier life: what is not here may have been. */
  readonly hasLost: boolean;
  readonly #index: BatchIndex;
  readonly #segmentsFound: number;

  private constructor(parts: StoreParts) {
    this.#index = parts.index;
    this.#segmentsFound = parts.segmentsFound;
    this.hasLost = parts.hasLost;
    this.directory = parts.directory;
    this.gates = parts.gates;
    this.segments = parts.segments;
    this.recent = parts.recent;
    this.space = parts.space;
    this.writer = parts.writer;
  }

  /** @throws PyralogError when the data directory cannot be used. */
  static async open(options: SegmentStoreOptions): Promise<SegmentStore> {
    const { disk, incarnation, crc32, logger, clock, counters, checkpointIntervalMs, onFatal } = options;
    const found = await checkSegments({ disk, incarnation, crc32, logger });
    const index = await openFittingIndex(options, found);
    const directory = new BatchDirectory({ index, clock, logger, checkpointIntervalMs, onFatal });
    const gates = new PartitionGates();
    const beganMs = clock.monotonicMs();
    const replayed = await replay({ disk, index, directory, gates, counters, crc32, logger }, found);
    const hasLost = await disk.hasLost();
    const store = assemble(options, { index, directory, gates, segmentsFound: found.length, hasLost }, replayed);
    await store.space.start();
    await store.writer.start(replayed.carried);
    logger.info('segments are replayed', {
      segments: found.length,
      batches: directory.count,
      copiedForward: replayed.carried.frames.length,
      quarantinedBytes: counters.quarantinedBytes,
      ms: Math.round(clock.monotonicMs() - beganMs),
    });
    return new SegmentStore(store);
  }

  get segmentCount(): number {
    return this.#segmentsFound + this.writer.segmentsCreated;
  }

  /** Commits what is queued, proves it, writes the index and lets go of the files. */
  async close(): Promise<void> {
    this.space.stop();
    await this.writer.stop();
    await this.directory.close();
    await this.#index.close();
    await this.segments.close();
  }
}

function assemble(
  options: SegmentStoreOptions,
  opened: Pick<StoreParts, 'index' | 'directory' | 'gates' | 'segmentsFound' | 'hasLost'>,
  replayed: Replayed,
): StoreParts {
  const { limits, disk, incarnation, random, crc32, logger, clock, counters, acknowledgements, onFatal } = options;
  const segments = new OpenSegments(disk, logger);
  const recent = new RecentBatches(options.recentBytesMax);
  // Room for the commit that is queued when the disk fills up, and for its copy at the next start.
  const reserveBytes = 2 * limits.commitBytesMax;
  const space = new DiskSpace({ disk, clock, logger, reserveBytes, onRecovered: () => writer.resume() });
  const writer: SegmentWriter = new SegmentWriter({
    creation: {
      disk,
      incarnation,
      random,
      crc32,
      logger,
      previous: replayed.last,
      nextSegmentId: replayed.nextSegmentId,
    },
    limits,
    segments,
    directory: opened.directory,
    recent,
    space,
    acknowledgements,
    counters,
    clock,
    logger,
    onFatal,
  });
  return { ...opened, segments, recent, space, writer };
}

/** An index whose checkpoint lies within the segments that there are; one that does not fit is replaced by a new one. */
async function openFittingIndex(options: SegmentStoreOptions, found: readonly FoundSegment[]): Promise<BatchIndex> {
  const { openIndex, logger, disk } = options;
  let index = await openIndex();
  if (!indexFits(index, found)) {
    // Its checkpoint lies beyond the segments: what it covers was durable.
    await disk.noteLoss();
    logger.error('index does not fit the segments and is rebuilt', {
      checkpoint: index.readCheckpoint(),
      segments: found.length,
    });
    index.distrust();
    await index.close();
    index = await openIndex();
  }
  const present = new Set(found.map(({ segmentId }) => segmentId));
  for (const segmentId of index.segmentIds()) {
    if (present.has(segmentId)) continue;
    await disk.noteLoss();
    logger.error('segment is missing: its batches are lost to this node', { segmentId });
    await index.removeSegment(segmentId);
  }
  return index;
}
