/**
 * Short text as bytes, written one after another into larger arrays: an array of its own for every key and value costs ten
 * times as much as the bytes. A slab lives as long as any record in it.
 */
import { utf8 } from '@pyralog/shared/core';

const SLAB_BYTES = 64 * 1024;
/** Longer text is worth an array of its own. */
const TEXT_LENGTH_MAX = 1_024;

export class TextSlab {
  #slab = new Uint8Array(0);
  #position = 0;

  /** The UTF-8 of `text`. */
  encode(text: string): Uint8Array {
    const { length } = text;
    if (length > TEXT_LENGTH_MAX) return utf8(text);
    if (this.#position + length > this.#slab.byteLength) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#position = 0;
    }
    const slab = this.#slab;
    const start = this.#position;
    for (let index = 0; index < length; index++) {
      const unit = text.charCodeAt(index);
      if (unit >= 0x80) return utf8(text);
      slab[start + index] = unit;
    }
    this.#position = start + length;
    return slab.subarray(start, start + length);
  }
}
