/** One `append` that waits: for room, then for its acknowledgement, or for its signal. */
import type { Offset, PyralogError } from '@pyralog/shared/core';
import { type AbortSignalLike, aborted } from '../abort.ts';
import type { Admission, Waiting } from './admission.ts';
import type { Settler } from './batch.ts';
import type { AppendResult, BatchAck } from './options.ts';

export class PendingAppend implements Settler {
  readonly #resolve: (result: AppendResult) => void;
  readonly #reject: (error: PyralogError) => void;
  readonly #signal: AbortSignalLike | undefined;
  readonly #admission: Admission;
  #waiting: Waiting | undefined;
  readonly #onAbort = (): void => this.#abort();

  constructor(
    resolve: (result: AppendResult) => void,
    reject: (error: PyralogError) => void,
    signal: AbortSignalLike | undefined,
    admission: Admission,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    this.#admission = admission;
  }

  /** @throws PyralogError `overloaded`. */
  wait(size: number, place: () => void): void {
    this.#waiting = {
      size,
      admit: () => {
        this.#waiting = undefined;
        place();
      },
      reject: (error) => {
        this.#waiting = undefined;
        this.failed(error);
      },
    };
    this.#signal?.addEventListener('abort', this.#onAbort);
    this.#admission.wait(this.#waiting);
  }

  /** The record went into its batch without waiting. */
  placed(): void {
    this.#signal?.addEventListener('abort', this.#onAbort);
  }

  acknowledged(ack: BatchAck, index: number): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    const { partition, offset, epoch, timestamp } = ack;
    this.#resolve({ partition, offset: (offset + index) as Offset, epoch, timestamp });
  }

  failed(error: PyralogError): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#reject(error);
  }

  #abort(): void {
    const signal = this.#signal;
    if (signal === undefined) return;
    const waiting = this.#waiting;
    const wasWaiting = waiting !== undefined && this.#admission.withdraw(waiting);
    this.failed(aborted(signal, wasWaiting ? 'not-applied' : 'unknown'));
  }
}
