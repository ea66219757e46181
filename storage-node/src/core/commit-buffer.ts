/**
 * The buffers of one commit, as few as possible: small frames are copied one after another into a slab, large ones are
 * written from where they are. The slab also cuts small frames loose from the connection's read buffers, so that what
 * was written can stay in memory as recent batches.
 */
const SLAB_BYTES = 1024 * 1024;
/** Below this a copy costs less than one more entry of the `writev`. */
const COPY_BYTES_MAX = 8 * 1024;

export class CommitBuffer {
  #slab = new Uint8Array(SLAB_BYTES);
  #used = 0;
  /** Where in the slab the run of small frames that is being filled begins. */
  #runFrom = 0;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  /** Bytes added since `take`. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Buffers that `take` would return, at most. */
  get parts(): number {
    return this.#parts.length + 1;
  }

  add(frame: Uint8Array): void {
    const length = frame.byteLength;
    this.#bytes += length;
    // A view of a small part of a large buffer is copied too: kept as it is, it would keep all of it.
    if (length > COPY_BYTES_MAX && (frame.buffer.byteLength <= 4 * length || length > SLAB_BYTES)) {
      this.#closeRun();
      this.#parts.push(frame);
      return;
    }
    if (this.#used + length > SLAB_BYTES) {
      this.#closeRun();
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#used = 0;
      this.#runFrom = 0;
    }
    this.#slab.set(frame, this.#used);
    this.#used += length;
  }

  /** The buffers in order; they never change again. */
  take(): Uint8Array[] {
    this.#closeRun();
    const parts = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    return parts;
  }

  #closeRun(): void {
    if (this.#used === this.#runFrom) return;
    this.#parts.push(this.#slab.subarray(this.#runFrom, this.#used));
    this.#runFrom = this.#used;
  }
}
