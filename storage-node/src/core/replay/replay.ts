/**
 * What a start does before it serves: brings the index up to what the segments hold, restores the gates, and gathers
 * the frames whose durability is not proven, to be copied forward.
 *
 * Replay begins at the index's checkpoint, or at the first segment when there is no index. After it, writing goes on in
 * a new segment, always: the tail that is not proven is first written and synced there (`CarriedFrames`), and only then
 * cut from the segment in which it was found. A crash anywhere in between leaves both, and the next replay, told by the
 * new segment's header how much of the old one was proven, copies forward whatever is not yet proven elsewhere.
 */
import {
  type BatchIndex,
  type Crc32,
  checkFrame,
  endOffset,
  type Logger,
  type SegmentDisk,
} from '@pyralog/shared/core';
import type { BatchDirectory } from '../batch-directory.ts';
import type { Counters } from '../counters.ts';
import { type PartitionGate, type PartitionGates, UNKNOWN_END } from '../partition-gates.ts';
import { SEGMENT_HEADER_BYTES } from '../segment-header.ts';
import type { CarriedFrames } from '../segment-writer.ts';
import type { QueuedFrame } from '../store-queue.ts';
import type { FoundSegment } from './check-segments.ts';
import { cutTails, type ProvenPart } from './cut-tails.ts';
import { type PlacedFrame, type ReplayedSegment, replaySegment } from './replay-segment.ts';

export interface ReplayOptions {
  readonly disk: SegmentDisk;
  readonly index: BatchIndex;
  readonly directory: BatchDirectory;
  readonly gates: PartitionGates;
  readonly counters: Counters;
  readonly crc32: Crc32;
  readonly logger: Logger;
}

export interface Replayed {
  readonly carried: CarriedFrames;
  /** The last segment, and how much of it is proven durable. */
  readonly last: ProvenPart | undefined;
  readonly nextSegmentId: number;
}

/** Whether the index can be of these segments: whether its checkpoint lies within them. */
export function indexFits(index: BatchIndex, segments: readonly FoundSegment[]): boolean {
  const checkpoint = index.readCheckpoint();
  if (checkpoint === undefined) return index.count() === 0;
  const segment = segments.find(({ segmentId }) => segmentId === checkpoint.segmentId);
  return segment !== undefined && checkpoint.position <= segment.size;
}

/** @throws PyralogError when a segment cannot be read or the index not be written. */
export async function replay(options: ReplayOptions, segments: readonly FoundSegment[]): Promise<Replayed> {
  const { index, gates, directory, disk, logger } = options;
  gates.restore(index.partitions());
  const checkpoint = index.readCheckpoint();
  const unproven: { segmentId: number; frames: readonly PlacedFrame[] }[] = [];
  const tails: ProvenPart[] = [];
  let last: ProvenPart | undefined;
  for (const [place, segment] of segments.entries()) {
    if (checkpoint !== undefined && segment.segmentId < checkpoint.segmentId) continue;
    const from = checkpoint?.segmentId === segment.segmentId ? checkpoint.position : SEGMENT_HEADER_BYTES;
    const replayed = await replayOne(options, segment, segments[place + 1], from);
    last = { segmentId: segment.segmentId, provenBytes: replayed.provenBytes };
    if (replayed.unproven.length > 0) unproven.push({ segmentId: segment.segmentId, frames: replayed.unproven });
    if (replayed.provenBytes < segment.size) tails.push(last);
    if (replayed.tornBytes > 0) {
      logger.info('unsynced tail is cut', {
        segmentId: segment.segmentId,
        position: replayed.provenBytes,
        tornBytes: replayed.tornBytes,
      });
    }
  }
  await directory.flush();
  const frames = await readCarried(options, unproven);
  const onWritten = async (): Promise<void> => {
    if (tails.length === 0) return;
    await directory.flush();
    await cutTails({ disk, index, logger, tails });
  };
  return { carried: { frames, onWritten }, last, nextSegmentId: (segments.at(-1)?.segmentId ?? 0) + 1 };
}

async function replayOne(
  options: ReplayOptions,
  segment: FoundSegment,
  next: FoundSegment | undefined,
  from: number,
): Promise<ReplayedSegment> {
  const { disk, directory, gates, counters, crc32, logger } = options;
  const { segmentId, segmentNonce, size } = segment;
  const onCorruption = (start: number, until: number, problem: string): void => {
    counters.quarantinedBytes += until - start;
    logger.error('synced data is damaged: the range is left out', { segmentId, from: start, until, problem });
  };
  const progress = lossesFirst(options, (position) => directory.endCommit({ segmentId, position }));
  const vouched = next?.header?.previousSegmentId === segmentId ? next.header.previousBytes : size;
  if (next !== undefined && vouched > size) onCorruption(size, vouched, 'file is shorter than what was synced');
  const provenBytes = next === undefined ? from : Math.min(vouched, size);
  if (segmentNonce === undefined) {
    onCorruption(from, size, 'segment has neither a header nor a first commit mark');
    await progress.note();
    return { provenBytes: size, unproven: [], tornBytes: 0 };
  }
  const file = await disk.open(segmentId);
  try {
    return await replaySegment({
      source: { file, segmentNonce, crc32 },
      from,
      provenBytes,
      onProven: ({ header, position }) => {
        const gate = gates.open(header.partitionId);
        if (!gate.refuses(header)) gate.pass(header);
        gate.highestEnd = UNKNOWN_END;
        directory.touch(gate);
        if (header.kind !== 'batch') return;
        const { partitionId, epoch, baseOffset, recordCount, appendTimeMs, frameLength } = header;
        directory.add({
          partitionId,
          epoch,
          baseOffset,
          recordCount,
          appendTimeMs,
          segmentId,
          position,
          length: frameLength,
        });
      },
      onProgress: progress.reached,
      onCorruption,
      pause: async () => {
        await progress.note();
        await directory.room();
      },
    });
  } finally {
    await file.close();
    await progress.note();
  }
}

/** Lets the index pass a damaged range only once the loss is noted: the next replay begins behind it and cannot see it. */
function lossesFirst(
  { disk, counters }: ReplayOptions,
  reached: (position: number) => void,
): { reached: (position: number) => void; note: () => Promise<void> } {
  const before = counters.quarantinedBytes;
  let noted = false;
  let held: number | undefined;
  return {
    reached: (position) => {
      if (noted || counters.quarantinedBytes === before) reached(position);
      else held = position;
    },
    note: async () => {
      if (noted || counters.quarantinedBytes === before) return;
      await disk.noteLoss();
      noted = true;
      if (held !== undefined) reached(held);
    },
  };
}

/** The unproven frames that are not proven elsewhere, in memory, their gates restored. */
async function readCarried(
  options: ReplayOptions,
  unproven: readonly { segmentId: number; frames: readonly PlacedFrame[] }[],
): Promise<QueuedFrame[]> {
  const carried: QueuedFrame[] = [];
  const seen = new Set<string>();
  for (const { segmentId, frames } of unproven) {
    const file = await options.disk.open(segmentId);
    try {
      for (const { header, position } of frames) {
        const { kind, partitionId, epoch, baseOffset, frameLength } = header;
        const name = `${kind} ${partitionId} ${epoch} ${baseOffset}`;
        const gate = options.gates.open(partitionId);
        if (!gate.refuses(header)) gate.pass(header);
        if (
          seen.has(name) ||
          (kind === 'batch' && options.directory.find(partitionId, epoch, baseOffset) !== undefined)
        )
          continue;
        seen.add(name);
        const frame = await file.read(position, frameLength);
        carried.push({
          frame,
          header: checkFrame(frame, options.crc32),
          gate,
          replyTo: undefined,
          acknowledged: true,
          ballot: header.epoch,
          settled: undefined,
        });
      }
    } finally {
      await file.close();
    }
  }
  for (const { gate, header } of carried) awaitEnd(gate, endOffset(header), options.directory);
  if (carried.length > 0) {
    options.logger.info('last commit before the restart is not proven durable and is copied forward', {
      frames: carried.length,
    });
  }
  return carried;
}

/** Until the copies are in the directory, the gate alone knows that what they hold is not new. */
function awaitEnd(gate: PartitionGate, end: number, directory: BatchDirectory): void {
  if (gate.highestEnd === UNKNOWN_END) gate.highestEnd = directory.endOf(gate.partitionId, gate.epoch);
  gate.highestEnd = Math.max(gate.highestEnd, end);
}
