/**
 * The live end of an open fragment: the very messages that replicate its batches, kept until they are released.
 *
 * Only batches of the fragment's epoch and nonce count, and each offset once. What does not arrive is a gap, which the
 * storage nodes fill; a gap shows in a later batch, or in a released offset beyond what arrived. When the frames that wait
 * exceed the reader's budget the tail is left: everything is dropped, and reading goes on from storage nodes.
 */
import {
  decodeRelease,
  detached,
  type Offset,
  type Registration,
  type Release,
  readFrameHeader,
} from '@pyralog/shared/core';
import type { FragmentReader } from './fragment-reader.ts';
import { type StoredBatch, verifyBatch } from './stored-batch.ts';

export type TailStep =
  | { readonly kind: 'batch'; readonly batch: StoredBatch }
  /** Released and not here: `[position, until)`. `isCertain` when a later batch is here already. */
  | { readonly kind: 'gap'; readonly until: Offset; readonly isCertain: boolean }
  | { readonly kind: 'wait' };

const WAIT: TailStep = { kind: 'wait' };

export class Tail {
  readonly #reader: FragmentReader;
  readonly #onChange: () => void;
  readonly #registrations: Registration[];
  /** By base offset, ascending, from `#head`. */
  #batches: StoredBatch[] = [];
  #head = 0;
  #bytes = 0;
  #position: Offset;
  #releasedOffset: Offset;
  #hasOverflowed = false;
  #sawNewerEpoch = false;
  #isClosed = false;

  /** Subscribes at once. @param onChange called when there may be something to do. */
  constructor(reader: FragmentReader, namespace: string, position: Offset, onChange: () => void) {
    this.#reader = reader;
    this.#position = position;
    this.#releasedOffset = reader.fragment.start;
    this.#onChange = onChange;
    const { transport, subjects } = reader.context.ports;
    this.#registrations = [
      transport.subscribe(subjects.storesOf(namespace, reader.partitionId), ({ payload }) => this.#stored(payload)),
      transport.subscribe(subjects.release(namespace, reader.partitionId), ({ payload }) => this.#released(payload)),
    ];
  }

  /** Nothing more comes: the tail was left because its frames became too many. */
  get hasOverflowed(): boolean {
    return this.#hasOverflowed;
  }

  /** A batch or release of a newer epoch came: the fragment is closed or about to be. */
  get sawNewerEpoch(): boolean {
    return this.#sawNewerEpoch;
  }

  /** Whether batches wait for their release. */
  get isHolding(): boolean {
    return this.#head < this.#batches.length;
  }

  get releasedOffset(): Offset {
    return this.#releasedOffset;
  }

  /** The fragment is released up to here. */
  raise(releasedOffset: Offset): void {
    if (releasedOffset > this.#releasedOffset) this.#releasedOffset = releasedOffset;
  }

  /** What is to be done at `position`. A batch that is returned is gone from the tail. */
  next(position: Offset): TailStep {
    this.#position = position;
    let first = this.#batches[this.#head];
    for (; first !== undefined && first.end <= position; first = this.#batches[this.#head]) this.#drop(first);
    if (this.#releasedOffset <= position) return WAIT;
    if (first === undefined) return { kind: 'gap', until: this.#releasedOffset, isCertain: false };
    const { baseOffset } = first.header;
    if (baseOffset > position) {
      return { kind: 'gap', until: Math.min(baseOffset, this.#releasedOffset) as Offset, isCertain: true };
    }
    if (first.end > this.#releasedOffset) return WAIT;
    this.#drop(first);
    return { kind: 'batch', batch: first };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const registration of this.#registrations) registration.cancel();
    this.#reader.context.tailBudget.release(this.#bytes);
    this.#bytes = 0;
    this.#batches = [];
    this.#head = 0;
  }

  #drop(first: StoredBatch): void {
    this.#head++;
    this.#bytes -= first.header.frameLength;
    this.#reader.context.tailBudget.release(first.header.frameLength);
    if (this.#head === this.#batches.length) {
      this.#batches.length = 0;
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    }
  }

  #stored(payload: Uint8Array): void {
    if (this.#isClosed) return;
    let batch: StoredBatch;
    try {
      batch = verifyBatch(payload, 0, this.#reader, this.#reader.context.ports.crc32);
    } catch {
      this.#checkEpoch(payload);
      return;
    }
    this.raise(batch.header.releasedOffset);
    if (batch.end > this.#position) this.#keep(batch);
    this.#onChange();
  }

  /** A frame that is not of the fragment: perhaps the next epoch has begun. */
  #checkEpoch(payload: Uint8Array): void {
    try {
      this.#seen(readFrameHeader(payload).epoch);
    } catch {
      // Damaged on the way. If it was ours, the gap that it leaves is filled.
    }
  }

  #released(payload: Uint8Array): void {
    if (this.#isClosed) return;
    let release: Release;
    try {
      release = decodeRelease(payload);
    } catch {
      return;
    }
    const { epoch, nonce } = this.#reader.fragment;
    if (release.epoch === epoch && release.nonce === nonce) {
      this.raise(release.releasedOffset);
      this.#onChange();
    } else {
      this.#seen(release.epoch);
    }
  }

  #seen(epoch: number): void {
    if (epoch <= this.#reader.fragment.epoch) return;
    this.#sawNewerEpoch = true;
    this.#onChange();
  }

  #keep(received: StoredBatch): void {
    const { baseOffset } = received.header;
    let index = this.#batches.length;
    for (; index > this.#head; index--) {
      const before = this.#batches[index - 1];
      if (before === undefined || before.header.baseOffset < baseOffset) break;
      if (before.header.baseOffset === baseOffset) return;
    }
    if (!this.#reader.context.tailBudget.tryTake(received.header.frameLength)) {
      this.#hasOverflowed = true;
      this.close();
      return;
    }
    this.#bytes += received.header.frameLength;
    const batch = { ...received, frame: detached(received.frame) };
    if (index === this.#batches.length) this.#batches.push(batch);
    else this.#batches.splice(index, 0, batch);
  }
}
