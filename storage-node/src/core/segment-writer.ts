/**
 * The one writer of a storage node: a serialized loop that commits whatever arrived meanwhile.
 *
 * A commit is a commit mark and the queued frames of all partitions, in the order of their arrival: one `append`, one
 * `sync`, then the directory, then the acknowledgements. The gate of each partition is asked again when the commit is
 * assembled: a batch whose epoch was fenced while it waited is refused and not written.
 *
 * - Nothing is acknowledged before its sync resolved, except `memory` batches, which were acknowledged when queued.
 * - A failed sync, or a failed append other than for want of space, ends the writer for good: what the page cache says
 *   afterwards proves nothing, so that commit is never acknowledged and the process must stop (`onFatal`).
 * - A full disk loses nothing: the partial commit is cut away, every batch in it and behind it is refused as a whole,
 *   and what was promised already waits in memory until there is room.
 */
import { type Clock, describeError, type Epoch, LIMITS, type Logger, PyralogError } from '@pyralog/shared/core';
import type { Acknowledgements } from './acknowledgements.ts';
import { type ActiveSegment, createSegment, type SegmentCreation } from './active-segment.ts';
import type { BatchDirectory } from './batch-directory.ts';
import { CommitBuffer } from './commit-buffer.ts';
import type { CommitLimits } from './commit-limits.ts';
import { COMMIT_MARK_BYTES, encodeCommitMark } from './commit-mark.ts';
import type { Counters } from './counters.ts';
import type { DiskSpace } from './disk-space.ts';
import { FlushTrigger } from './flush-trigger.ts';
import type { OpenSegments } from './open-segments.ts';
import type { RecentBatches } from './recent-batches.ts';
import { SEGMENT_HEADER_BYTES } from './segment-header.ts';
import { type QueuedFrame, StoreQueue } from './store-queue.ts';

export interface SegmentWriterOptions {
  readonly creation: SegmentCreation;
  readonly limits: CommitLimits;
  readonly segments: OpenSegments;
  readonly directory: BatchDirectory;
  readonly recent: RecentBatches;
  readonly space: DiskSpace;
  readonly acknowledgements: Acknowledgements;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFatal: (reason: unknown) => void;
}

/** What a restart brings along: frames whose durability is not proven, and what to do once they are durable again. */
export interface CarriedFrames {
  readonly frames: readonly QueuedFrame[];
  readonly onWritten: () => Promise<void>;
}

/** What a queued frame costs besides its bytes, so that many small ones are bounded too. */
const QUEUED_FRAME_OVERHEAD_BYTES = 512;

interface Commit {
  readonly entries: readonly QueuedFrame[];
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #queue = new StoreQueue();
  readonly #buffer = new CommitBuffer();
  readonly #trigger: FlushTrigger;
  #segment: ActiveSegment | undefined;
  segmentsCreated = 0;
  /** Bytes taken from the queue by the commit that is being written. */
  #writingBytes = 0;
  #running: Promise<void> | undefined;
  /** The disk was full at the last commit. */
  #full = false;
  /** Stopped or failed: nothing is written any more. */
  #ended = false;
  #carried: CarriedFrames | undefined;
  #carriedLeft = 0;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#trigger = new FlushTrigger(options.clock, options.limits, () => this.#run());
  }

  /** Memory held by frames received and not yet written, bytes. */
  get queuedBytes(): number {
    return this.#queue.bytes + this.#queue.length * QUEUED_FRAME_OVERHEAD_BYTES + this.#writingBytes;
  }

  /**
   * Writes what a restart brings along, before anything else. Resolves when that is durable, or when the disk turned
   * out to be full: then it waits in memory.
   */
  async start(carried: CarriedFrames): Promise<void> {
    this.#carried = carried;
    this.#carriedLeft = carried.frames.length;
    for (const entry of carried.frames) this.#take(entry);
    if (this.#carriedLeft > 0) await this.flush();
    else await this.#carriedWritten(0);
  }

  /** Takes an admitted frame. */
  enqueue(entry: QueuedFrame): void {
    this.#take(entry);
    this.#wake();
  }

  #take(entry: QueuedFrame): void {
    this.#queue.push(entry);
    const { header, gate } = entry;
    if (header.kind === 'batch' && header.epoch === gate.epoch) gate.pending.set(header.baseOffset, entry);
  }

  /** The disk has room again. */
  resume(): void {
    if (!this.#full) return;
    this.#full = false;
    if (this.#queue.length > 0) void this.#run();
  }

  /** Commits everything that is queued; resolves when that is done or cannot be done. */
  async flush(): Promise<void> {
    while (this.#running !== undefined || (this.#queue.length > 0 && !this.#full && !this.#ended)) await this.#run();
  }

  /** Commits what is queued, proves the last commit by one more mark, and ends. */
  async stop(): Promise<void> {
    await this.flush();
    this.#trigger.cancel();
    if (this.#queue.length > 0) {
      this.#options.logger.error('batches that were only in memory are lost', {
        batches: this.#queue.length,
        bytes: this.#queue.bytes,
      });
    }
    const segment = this.#segment;
    if (segment === undefined || this.#ended || this.#full) return;
    this.#ended = true;
    const mark = encodeCommitMark(segment, this.#options.clock.wallMs(), this.#options.creation.crc32);
    try {
      await segment.file.append(segment.position, [mark]);
      await segment.file.sync();
    } catch (reason) {
      // The batches before it are durable; without the mark the next start copies the last commit forward.
      this.#options.logger.warn('last commit mark was not written', { problem: describeError(reason) });
      return;
    }
    segment.position += mark.byteLength;
    this.#options.directory.endCommit({ segmentId: segment.file.segmentId, position: segment.position });
  }

  #wake(): void {
    if (this.#running === undefined && !this.#full && !this.#ended) this.#trigger.arm(this.#queue);
  }

  /** Commits until nothing is left that should not wait. At most one at a time. */
  #run(): Promise<void> {
    this.#running ??= this.#commitAll().finally(() => {
      this.#running = undefined;
      this.#wake();
    });
    return this.#running;
  }

  async #commitAll(): Promise<void> {
    const { clock } = this.#options;
    this.#trigger.cancel();
    while (this.#queue.length > 0 && !this.#full && !this.#ended) {
      await this.#commit();
      if (!this.#trigger.isDue(this.#queue)) return;
      // What has arrived during the sync and waits in the socket joins the next commit.
      await new Promise<void>((resolve) => clock.defer(resolve));
    }
  }

  async #commit(): Promise<void> {
    await this.#options.directory.room();
    const segment = await this.#segmentWithRoom();
    if (segment === undefined || this.#ended) return;
    const commit = this.#assemble(segment);
    if (commit.entries.length > 0 && !(await this.#write(segment, commit))) return;
    this.#complete(segment, commit);
    await this.#carriedWritten(commit.entries.length);
  }

  /** The active segment, or a new one when the next frame does not fit into it; `undefined` when there can be none. */
  async #segmentWithRoom(): Promise<ActiveSegment | undefined> {
    const { creation, limits, segments, clock } = this.#options;
    const active = this.#segment;
    const next = this.#queue.peek();
    if (next === undefined) return active;
    if (active !== undefined) {
      const end = active.position + COMMIT_MARK_BYTES + next.header.frameLength;
      if (end <= limits.segmentBytes || active.position === SEGMENT_HEADER_BYTES) return active;
    }
    try {
      const created = await createSegment(creation, active, clock.wallMs());
      segments.hold(created.file);
      if (active !== undefined) segments.release(active.file.segmentId);
      this.#segment = created;
      this.segmentsCreated++;
      return created;
    } catch (reason) {
      this.#stopFor(reason, []);
      return undefined;
    }
  }

  /** Takes frames from the queue into the commit's buffers, refusing those that were fenced while they waited. */
  #assemble(segment: ActiveSegment): Commit {
    const { limits, clock, creation, acknowledgements, counters } = this.#options;
    const bytesMax = Math.min(limits.commitBytesMax, limits.segmentBytes - segment.position - COMMIT_MARK_BYTES);
    const entries: QueuedFrame[] = [];
    let bytes = 0;
    for (let next = this.#queue.peek(); next !== undefined; next = this.#queue.peek()) {
      const { frame, header, gate } = next;
      const fits = bytes + frame.byteLength <= bytesMax && this.#buffer.parts < LIMITS.commitFramesMax;
      if (entries.length > 0 && (!fits || entries.length >= LIMITS.indexTransactionBatches)) break;
      this.#queue.shift();
      if (isStore(next) && this.#options.space.state === 'read-only') {
        this.#refuse(next);
        continue;
      }
      if (!next.acknowledged && gate.refuses(header, next.ballot)) {
        counters.fencedBatches++;
        acknowledgements.add(next.replyTo, header, 'fenced', gate.epoch);
        next.settled?.('fenced');
        continue;
      }
      if (entries.length === 0) this.#buffer.add(encodeCommitMark(segment, clock.wallMs(), creation.crc32));
      this.#buffer.add(frame);
      entries.push(next);
      bytes += frame.byteLength;
    }
    this.#writingBytes = bytes;
    return { entries, bytes: this.#buffer.bytes, parts: this.#buffer.take() };
  }

  /** Whether the commit is durable. */
  async #write(segment: ActiveSegment, commit: Commit): Promise<boolean> {
    try {
      await segment.file.append(segment.position, commit.parts);
    } catch (reason) {
      if (isFull(reason)) await this.#cutAway(segment, reason, commit);
      else this.#stopFor(reason, commit.entries);
      return false;
    }
    try {
      await segment.file.sync();
    } catch (reason) {
      this.#fail(reason);
      return false;
    }
    return true;
  }

  /** Enters a durable commit into the directory and acknowledges it. */
  #complete(segment: ActiveSegment, commit: Commit): void {
    const { directory, recent, acknowledgements, counters } = this.#options;
    const { segmentId } = segment.file;
    let position = segment.position;
    for (const part of commit.parts) {
      recent.add(segmentId, position, part);
      position += part.byteLength;
    }
    position = segment.position + COMMIT_MARK_BYTES;
    for (const { header, gate, replyTo, acknowledged, settled } of commit.entries) {
      const { partitionId, epoch, baseOffset, recordCount, appendTimeMs, frameLength } = header;
      directory.touch(gate);
      if (header.kind === 'batch') {
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
      }
      if (header.kind === 'batch' && epoch === gate.epoch) gate.pending.delete(baseOffset);
      if (!acknowledged) acknowledgements.add(replyTo, header, 'stored');
      settled?.('stored');
      if (header.kind === 'batch') counters.storedBatches++;
      counters.storedRecords += recordCount;
      counters.storedBytes += frameLength;
      position += frameLength;
    }
    this.#writingBytes = 0;
    if (commit.entries.length > 0) {
      counters.commits++;
      segment.position += commit.bytes;
      this.#options.space.consumed(commit.bytes);
      directory.endCommit({ segmentId, position: segment.position });
    }
    acknowledgements.flush();
  }

  async #carriedWritten(frames: number): Promise<void> {
    if (this.#carried === undefined) return;
    this.#carriedLeft -= Math.min(this.#carriedLeft, frames);
    if (this.#carriedLeft > 0) return;
    const { onWritten } = this.#carried;
    this.#carried = undefined;
    await onWritten();
  }

  async #cutAway(segment: ActiveSegment, full: unknown, commit: Commit): Promise<void> {
    try {
      await segment.file.truncate(segment.position);
    } catch (reason) {
      this.#fail(reason);
      return;
    }
    this.#stopFor(full, commit.entries);
  }

  /** Ends the writer, or, when the disk is full, refuses what is not promised and keeps the rest until there is room. */
  #stopFor(reason: unknown, entries: readonly QueuedFrame[]): void {
    if (!isFull(reason)) {
      this.#fail(reason);
      return;
    }
    const { space, acknowledgements } = this.#options;
    this.#full = true;
    this.#writingBytes = 0;
    space.foundFull(reason);
    const all = [...entries];
    for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) all.push(entry);
    for (const entry of all) {
      if (entry.acknowledged) {
        this.#queue.push(entry);
        continue;
      }
      this.#refuse(entry);
    }
    acknowledgements.flush();
  }

  /** There is no room for it now. */
  #refuse(entry: QueuedFrame): void {
    const { header, gate, replyTo, ballot, settled } = entry;
    const { counters, acknowledgements } = this.#options;
    if (gate.pending.get(header.baseOffset) === entry) gate.pending.delete(header.baseOffset);
    counters.readOnlyBatches++;
    const verdict = gate.refuses(header, ballot) ? 'fenced' : 'read-only';
    acknowledgements.add(replyTo, header, verdict, verdict === 'fenced' ? gate.epoch : (0 as Epoch));
    settled?.(verdict);
  }

  #fail(reason: unknown): void {
    this.#ended = true;
    this.#options.onFatal(reason);
  }
}

/** What a sequencer sends and keeps until it is stored; what a recovery or a restart needs may use the disk's reserve. */
function isStore(entry: QueuedFrame): boolean {
  return !entry.acknowledged && entry.header.kind === 'batch' && entry.ballot === entry.header.epoch;
}

function isFull(reason: unknown): boolean {
  return reason instanceof PyralogError && reason.code === 'read-only';
}
