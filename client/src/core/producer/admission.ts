/**
 * Room for records: the encoded bytes that are not acknowledged yet are bounded, and whoever comes when there is no room
 * waits, first come first served. The bytes that wait are bounded too.
 *
 * Invariant: nobody passes who came later than someone who waits, so records of one caller keep their order.
 */
import { PyralogError } from '@pyralog/shared/core';
import { type AbortSignalLike, aborted } from '../abort.ts';
import { SETTINGS } from '../settings.ts';

export interface Waiting {
  /** Bytes of room that it needs; 0 for who only waits until everybody before it was admitted. */
  readonly size: number;
  /** The room is taken. */
  admit(): void;
  reject(error: PyralogError): void;
}

export class Admission {
  readonly #bytesMax: number;
  readonly #onPressure: () => void;
  #waiting: Waiting[] = [];
  #head = 0;
  #waitingBytes = 0;
  #usedBytes = 0;
  #isOpen = false;
  #isDraining = false;

  /** @param onPressure called when someone begins to wait for room, or still does after some was given. */
  constructor(bytesMax: number, onPressure: () => void) {
    this.#bytesMax = bytesMax;
    this.#onPressure = onPressure;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes the room if it is there and nobody waits for it. */
  tryTake(size: number): boolean {
    if (!this.#isOpen || this.#head < this.#waiting.length || !this.#hasRoom(size)) return false;
    this.#usedBytes += size;
    return true;
  }

  /** @throws PyralogError `overloaded` when so much waits already that `size` bytes may not. */
  checkWaiting(size: number): void {
    const limit = this.#bytesMax * SETTINGS.waitingBytesFactor;
    if (size === 0 || this.#waitingBytes === 0 || this.#waitingBytes + size <= limit) return;
    throw new PyralogError({
      code: 'overloaded',
      message: 'too many records wait for room',
      fields: { limit, waitingBytes: this.#waitingBytes },
    });
  }

  /** @throws PyralogError `overloaded` as `checkWaiting` does. */
  wait(waiting: Waiting): void {
    if (waiting.size === 0 && this.#head === this.#waiting.length) {
      waiting.admit();
      return;
    }
    this.checkWaiting(waiting.size);
    this.#waiting.push(waiting);
    this.#waitingBytes += waiting.size;
    if (this.#isOpen && this.#waiting.length - this.#head === 1) this.#onPressure();
  }

  /**
   * Resolves when there was room and `place` used it.
   * @throws PyralogError `overloaded` when too much waits already, `closed` when aborted (`place` was not called).
   */
  waitFor(size: number, place: () => void, signal: AbortSignalLike | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const done = (): void => signal?.removeEventListener('abort', onAbort);
      const waiting: Waiting = {
        size,
        admit: () => {
          done();
          place();
          resolve();
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      const onAbort = (): void => {
        if (signal !== undefined && this.withdraw(waiting)) waiting.reject(aborted(signal, 'not-applied'));
      };
      signal?.addEventListener('abort', onAbort);
      this.wait(waiting);
    });
  }

  /** Withdraws someone who waits. @returns whether it was still waiting. */
  withdraw(waiting: Waiting): boolean {
    const index = this.#waiting.indexOf(waiting, this.#head);
    if (index < 0) return false;
    this.#waiting.splice(index, 1);
    this.#waitingBytes -= waiting.size;
    if (this.#isOpen) this.#admit();
    return true;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
    if (this.#head < this.#waiting.length) this.#admit();
  }

  /** Until then everybody waits. */
  open(): void {
    this.#isOpen = true;
    this.#admit();
  }

  /** Rejects everybody who waits. */
  rejectAll(error: PyralogError): void {
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    this.#waitingBytes = 0;
    for (const one of waiting) one.reject(error);
  }

  #hasRoom(size: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + size <= this.#bytesMax;
  }

  #admit(): void {
    // Whoever is admitted may send, fail, and so release room: one loop is enough.
    if (this.#isDraining) return;
    this.#isDraining = true;
    for (;;) {
      const next = this.#waiting[this.#head];
      if (next === undefined || (next.size > 0 && !this.#hasRoom(next.size))) break;
      this.#head++;
      this.#waitingBytes -= next.size;
      this.#usedBytes += next.size;
      next.admit();
    }
    if (this.#head === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    this.#isDraining = false;
    if (this.#head < this.#waiting.length) this.#onPressure();
  }
}
