/**
 * Cuts a stream of chunks into lines, as bytes: nothing is decoded, so input that is not UTF-8 passes unchanged. A line
 * ends at `\n`, which is not part of it; a `\r` before it is. What follows the last `\n` is a line unless it is empty.
 *
 * Pulled and not pushed, so that the caller can wait between two lines. A line that lies within one chunk is a view of
 * it; one that spans chunks is a copy. Memory is bounded by `lineBytesMax`.
 */
import { assert, invalid } from '@pyralog/shared/core';

const LINE_FEED = 10;
const EMPTY = new Uint8Array(0);

export class LineSplitter {
  readonly #lineBytesMax: number;
  #chunk: Uint8Array = EMPTY;
  #position = 0;
  /** The beginning of a line whose end has not come yet: the first `#partialBytes` of it. */
  #partial: Uint8Array = EMPTY;
  #partialBytes = 0;
  #lines = 0;

  constructor(options: { readonly lineBytesMax: number }) {
    this.#lineBytesMax = options.lineBytesMax;
  }

  /** Lines given out. */
  get lines(): number {
    return this.#lines;
  }

  /** Takes the next chunk; every line of the one before must have been pulled. The chunk must not change any more. */
  push(chunk: Uint8Array): void {
    assert(this.#position === this.#chunk.byteLength, 'the chunk before still has lines');
    this.#chunk = chunk;
    this.#position = 0;
  }

  /**
   * The next whole line, or `undefined` when another chunk is needed.
   * @throws PyralogError `invalid` when a line exceeds `lineBytesMax`.
   */
  next(): Uint8Array | undefined {
    const end = this.#chunk.indexOf(LINE_FEED, this.#position);
    if (end < 0) {
      this.#keep(this.#chunk.subarray(this.#position));
      this.#position = this.#chunk.byteLength;
      return undefined;
    }
    const rest = this.#chunk.subarray(this.#position, end);
    if (this.#partialBytes + rest.byteLength > this.#lineBytesMax) throw this.#tooLong(rest.byteLength);
    this.#position = end + 1;
    this.#lines++;
    if (this.#partialBytes === 0) return rest;
    this.#keep(rest);
    return this.#takePartial();
  }

  /** After the last chunk: the line that has no `\n`, if there is one. */
  end(): Uint8Array | undefined {
    if (this.#partialBytes === 0) return undefined;
    this.#lines++;
    return this.#takePartial();
  }

  #keep(bytes: Uint8Array): void {
    const size = this.#partialBytes + bytes.byteLength;
    if (size > this.#lineBytesMax) throw this.#tooLong(bytes.byteLength);
    if (size > this.#partial.byteLength) {
      const grown = new Uint8Array(Math.max(size, 2 * this.#partial.byteLength));
      grown.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = grown;
    }
    this.#partial.set(bytes, this.#partialBytes);
    this.#partialBytes = size;
  }

  #takePartial(): Uint8Array {
    const line = this.#partial.slice(0, this.#partialBytes);
    this.#partialBytes = 0;
    return line;
  }

  #tooLong(more: number) {
    return invalid('line', 'line is too long', {
      line: this.#lines + 1,
      sizeAtLeast: this.#partialBytes + more,
      limit: this.#lineBytesMax,
    });
  }
}
