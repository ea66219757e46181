/**
 * The last bytes that were written to the segments, in memory, so that whoever reads what was just stored needs no disk.
 *
 * It is kept by place and not by batch: a commit hands over the few buffers that it wrote, whatever the number of
 * batches in them, and a reader, who knows the batch's place from the directory, finds it by binary search. The oldest
 * buffers leave first once `bytesMax` is exceeded.
 */
import { Fifo } from './fifo.ts';

interface RecentBuffer {
  readonly segmentId: number;
  readonly position: number;
  readonly bytes: Uint8Array;
}

export class RecentBatches {
  readonly #bytesMax: number;
  /** Ascending by segment and position. */
  readonly #buffers = new Fifo<RecentBuffer>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Remembers what was written at a place after all earlier ones. The buffer must never change again. */
  add(segmentId: number, position: number, bytes: Uint8Array): void {
    this.#buffers.push({ segmentId, position, bytes });
    this.#bytes += keptAlive(bytes);
    while (this.#bytes > this.#bytesMax) {
      const oldest = this.#buffers.shift();
      if (oldest === undefined) return;
      this.#bytes -= keptAlive(oldest.bytes);
    }
  }

  /** The bytes of a place, a view, if all of them are remembered in one buffer. */
  find(segmentId: number, position: number, length: number): Uint8Array | undefined {
    const buffer = this.#atOrBefore(segmentId, position);
    if (buffer === undefined || buffer.segmentId !== segmentId) return undefined;
    const start = position - buffer.position;
    if (start + length > buffer.bytes.byteLength) return undefined;
    return buffer.bytes.subarray(start, start + length);
  }

  #atOrBefore(segmentId: number, position: number): RecentBuffer | undefined {
    let low = 0;
    let high = this.#buffers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const buffer = this.#buffers.at(middle);
      if (buffer === undefined) return undefined;
      const after = buffer.segmentId > segmentId || (buffer.segmentId === segmentId && buffer.position > position);
      if (after) high = middle;
      else low = middle + 1;
    }
    return low > 0 ? this.#buffers.at(low - 1) : undefined;
  }
}

/** A received frame keeps the whole buffer in which it was read; small views share theirs with their neighbours. */
function keptAlive(bytes: Uint8Array): number {
  const { byteLength } = bytes.buffer;
  return byteLength <= 4 * bytes.byteLength ? byteLength : bytes.byteLength;
}
