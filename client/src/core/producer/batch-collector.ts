/** Gathers what became of the records of one `appendBatch`. */
import type { Offset, PyralogError } from '@pyralog/shared/core';
import { type AbortSignalLike, aborted } from '../abort.ts';
import type { Settler } from './batch.ts';
import type { BatchAck } from './options.ts';

export class BatchCollector implements Settler {
  readonly #signal: AbortSignalLike | undefined;
  readonly #acks: (BatchAck & { count: number })[] = [];
  #expected = 0;
  #settled = 0;
  #error: PyralogError | undefined;
  #finish: (() => void) | undefined;
  readonly #onAbort = (): void => this.#abort();

  constructor(signal: AbortSignalLike | undefined) {
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort);
  }

  /** Whether there is no point in going on. */
  get isOver(): boolean {
    return this.#error !== undefined;
  }

  /** One more record is on its way. */
  expect(): void {
    this.#expected++;
  }

  acknowledged(ack: BatchAck, index: number): void {
    this.#settled++;
    const offset = (ack.offset + index) as Offset;
    const last = this.#acks.at(-1);
    const isNext = last?.partition === ack.partition && last.epoch === ack.epoch && last.offset + last.count === offset;
    if (last !== undefined && isNext) {
      last.count++;
    } else {
      this.#acks.push({ ...ack, offset, count: 1 });
    }
    this.#check();
  }

  failed(error: PyralogError): void {
    this.#settled++;
    this.#error ??= error;
    this.#check();
  }

  /** Resolves when all records are settled. @throws PyralogError the first failure. */
  async finish(): Promise<BatchAck[]> {
    if (this.#settled < this.#expected && this.#error === undefined) {
      await new Promise<void>((resolve) => {
        this.#finish = resolve;
      });
    }
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (this.#error !== undefined) throw this.#error;
    return this.#acks;
  }

  #check(): void {
    if (this.#settled >= this.#expected || this.#error !== undefined) this.#finish?.();
  }

  #abort(): void {
    const signal = this.#signal;
    if (signal === undefined) return;
    this.#error ??= aborted(signal, this.#expected === 0 ? 'not-applied' : 'unknown');
    this.#check();
  }
}
