/** Admitted frames in the order of their arrival, until the commit that takes them. */
import type { Epoch, FrameHeader, StoreVerdict } from '@pyralog/shared/core';
import { Fifo } from './fifo.ts';
import type { PartitionGate } from './partition-gates.ts';

export interface QueuedFrame {
  /** A view of the received message. */
  readonly frame: Uint8Array;
  readonly header: FrameHeader;
  readonly gate: PartitionGate;
  /** Where the acknowledgement goes; `undefined` when nobody waits for one. */
  readonly replyTo: string | undefined;
  /**
   * Already promised: a `memory` batch was acknowledged when it was queued, and a batch that is copied forward may have
   * been acknowledged before the restart. It is written even if its epoch was fenced since.
   */
  readonly acknowledged: boolean;
  /** The epoch under which it is written: its own, or the ballot of the recovery that writes it back. */
  readonly ballot: Epoch;
  /** Told what became of it, when somebody waits in this process. */
  readonly settled: ((verdict: StoreVerdict) => void) | undefined;
}

export class StoreQueue {
  readonly #frames = new Fifo<QueuedFrame>();
  /** Bytes queued. */
  bytes = 0;
  /** Frames queued that nobody has acknowledged yet: they do not wait for the flush interval. */
  urgent = 0;

  get length(): number {
    return this.#frames.length;
  }

  push(entry: QueuedFrame): void {
    this.#frames.push(entry);
    this.bytes += entry.frame.byteLength;
    if (!entry.acknowledged) this.urgent++;
  }

  /** The frame that comes out next. */
  peek(): QueuedFrame | undefined {
    return this.#frames.at(0);
  }

  shift(): QueuedFrame | undefined {
    const entry = this.#frames.shift();
    if (entry === undefined) return undefined;
    this.bytes -= entry.frame.byteLength;
    if (!entry.acknowledged) this.urgent--;
    return entry;
  }
}
