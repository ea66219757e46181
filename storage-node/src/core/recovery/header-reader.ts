/** Reads the headers of stored batches, from memory or from the segments, without their bodies. */
import {
  type BatchLocation,
  type Crc32,
  checkFrameHeader,
  FRAME_HEADER_BYTES,
  LIMITS,
  PyralogError,
} from '@pyralog/shared/core';
import type { OpenSegments } from '../open-segments.ts';
import { Turnstile } from '../read/turnstile.ts';
import type { RecentBatches } from '../recent-batches.ts';

export class HeaderReader {
  readonly #segments: OpenSegments;
  readonly #recent: RecentBatches;
  readonly #crc32: Crc32;
  readonly #disk = new Turnstile(LIMITS.diskReadsInFlightMax);

  constructor(options: { segments: OpenSegments; recent: RecentBatches; crc32: Crc32 }) {
    this.#segments = options.segments;
    this.#recent = options.recent;
    this.#crc32 = options.crc32;
  }

  /**
   * 96 bytes each, in the order of `locations`.
   * @throws PyralogError `corrupt` when one is not what the directory says: nothing can be said of such a batch, neither
   *   that the node has it nor that it has not.
   */
  async read(locations: readonly BatchLocation[]): Promise<Uint8Array[]> {
    const headers: Uint8Array[] = [];
    for (const location of locations) headers.push(await this.#readOne(location));
    return headers;
  }

  async #readOne(location: BatchLocation): Promise<Uint8Array> {
    const { partitionId, epoch, baseOffset, segmentId, position, length } = location;
    const recent = this.#recent.find(segmentId, position, length);
    const bytes =
      recent?.subarray(0, FRAME_HEADER_BYTES) ??
      (await this.#disk.pass(() => this.#segments.use(segmentId, (file) => file.read(position, FRAME_HEADER_BYTES))));
    const header = checkFrameHeader(bytes, this.#crc32);
    if (header.partitionId === partitionId && header.epoch === epoch && header.baseOffset === baseOffset) return bytes;
    throw new PyralogError({
      code: 'corrupt',
      message: 'index names another batch',
      fields: { partitionId, epoch, baseOffset, segmentId, position },
    });
  }
}
