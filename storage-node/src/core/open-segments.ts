/**
 * Segment files that are open, for reading and for the writer. The least recently used ones that nobody uses are closed
 * when there are more than `openSegmentsMax`.
 */
import { describeError, LIMITS, type Logger, type SegmentDisk, type SegmentFile } from '@pyralog/shared/core';

interface OpenSegment {
  readonly file: Promise<SegmentFile>;
  users: number;
}

export class OpenSegments {
  readonly #disk: SegmentDisk;
  readonly #logger: Logger;
  /** In the order of last use. */
  readonly #open = new Map<number, OpenSegment>();

  constructor(disk: SegmentDisk, logger: Logger) {
    this.#disk = disk;
    this.#logger = logger;
  }

  /** Keeps a file that the writer has opened until `release`. */
  hold(file: SegmentFile): void {
    this.#open.set(file.segmentId, { file: Promise.resolve(file), users: 1 });
  }

  /** The writer is done with the file. */
  release(segmentId: number): void {
    const segment = this.#open.get(segmentId);
    if (segment === undefined) return;
    segment.users--;
    this.#closeIdle();
  }

  /** Runs `action` with the file, opening it when needed. @throws PyralogError as `SegmentDisk.open` does. */
  async use<T>(segmentId: number, action: (file: SegmentFile) => Promise<T>): Promise<T> {
    const segment = this.#open.get(segmentId) ?? { file: this.#disk.open(segmentId), users: 0 };
    this.#open.delete(segmentId);
    this.#open.set(segmentId, segment);
    segment.users++;
    try {
      return await action(await this.#opened(segmentId, segment));
    } finally {
      segment.users--;
      this.#closeIdle();
    }
  }

  async #opened(segmentId: number, segment: OpenSegment): Promise<SegmentFile> {
    try {
      return await segment.file;
    } catch (reason) {
      if (this.#open.get(segmentId) === segment) this.#open.delete(segmentId);
      throw reason;
    }
  }

  #closeIdle(): void {
    for (const [segmentId, segment] of this.#open) {
      if (this.#open.size <= LIMITS.openSegmentsMax) return;
      if (segment.users > 0) continue;
      this.#open.delete(segmentId);
      this.#close(segmentId, segment);
    }
  }

  async #closeFile(segment: OpenSegment): Promise<void> {
    const file = await segment.file;
    await file.close();
  }

  #close(segmentId: number, segment: OpenSegment): void {
    this.#closeFile(segment).catch((reason: unknown) => {
      this.#logger.warn('segment was not closed', { segmentId, problem: describeError(reason) });
    });
  }

  async close(): Promise<void> {
    const segments = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled(segments.map((segment) => this.#closeFile(segment)));
  }
}
