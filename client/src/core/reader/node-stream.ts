/**
 * What one storage node sends of a range: its batches in order, request after request, each as large as the credit and the
 * next one sent when the buffer falls under it, so that there is always one chunk of read-ahead and never more than two.
 *
 * `frontier` is how far the node has got: it has sent everything of its share before it.
 */
import {
  detached,
  LIMITS,
  type Offset,
  type PyralogError,
  type ReadEnd,
  type ReadRequest,
  type Registration,
  type StorageNodeId,
  type Timer,
} from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import { SETTINGS } from '../settings.ts';
import type { FragmentReader } from './fragment-reader.ts';
import type { ReadFailure } from './read-requests.ts';
import { type StoredBatch, verifyBatch } from './stored-batch.ts';

/** `reading`: a request is under way or about to be. `corrupt`: the batch after the frontier is damaged. */
export type NodeStreamState = 'idle' | 'reading' | 'corrupt' | 'failed' | 'done';

export class NodeStream {
  readonly nodeId: StorageNodeId;
  readonly #reader: FragmentReader;
  readonly #until: Offset;
  readonly #exclude: StorageNodeId[];
  readonly #credit: number;
  readonly #onProgress: () => void;
  readonly #backoff: Backoff;
  #state: NodeStreamState = 'idle';
  #frontier: Offset;
  #batches: StoredBatch[] = [];
  #head = 0;
  #bufferedBytes = 0;
  #receivedBytes = 0;
  #requestFrom: Offset;
  /** Requests in a row that brought nothing. */
  #fruitless = 0;
  #request: Registration | undefined;
  #pause: Timer | undefined;

  constructor(options: {
    nodeId: StorageNodeId;
    reader: FragmentReader;
    from: Offset;
    until: Offset;
    exclude: StorageNodeId[];
    credit: number;
    onProgress: () => void;
  }) {
    this.nodeId = options.nodeId;
    this.#reader = options.reader;
    this.#frontier = options.from;
    this.#requestFrom = options.from;
    this.#until = options.until;
    this.#exclude = options.exclude;
    this.#credit = Math.min(LIMITS.readCreditBytesMax, Math.max(1, Math.floor(options.credit)));
    this.#onProgress = options.onProgress;
    const { readDelayMsMin: delayMsMin, readDelayMsMax: delayMsMax } = SETTINGS;
    this.#backoff = new Backoff(options.reader.context.ports.random, { delayMsMin, delayMsMax });
  }

  get state(): NodeStreamState {
    return this.#state;
  }

  get frontier(): Offset {
    return this.#frontier;
  }

  /** The next batch, not taken. */
  get head(): StoredBatch | undefined {
    return this.#batches[this.#head];
  }

  start(): void {
    this.#pump();
  }

  /** Removes `head`. */
  shift(): void {
    const batch = this.#batches[this.#head];
    if (batch === undefined) return;
    this.#head++;
    this.#bufferedBytes -= batch.header.frameLength;
    if (this.#head === this.#batches.length) {
      this.#batches = [];
      this.#head = 0;
    }
    this.#pump();
  }

  /** What is before `from` is not wanted any more; a damaged batch there is passed. */
  skipTo(from: Offset): void {
    for (let head = this.head; head !== undefined && head.end <= from; head = this.head) this.shift();
    if (this.#frontier < from) this.#frontier = from;
    if (this.#state === 'corrupt') this.#state = 'idle';
    this.#pump();
  }

  cancel(): void {
    this.#request?.cancel();
    this.#pause?.cancel();
    this.#state = 'done';
  }

  #pump(): void {
    if (this.#state !== 'idle' || this.#bufferedBytes > this.#credit) return;
    if (this.#frontier >= this.#until) {
      this.#state = 'done';
      return;
    }
    this.#state = 'reading';
    this.#receivedBytes = 0;
    this.#requestFrom = this.#frontier;
    this.#request = this.#reader.context.reads.send(this.nodeId, this.#readRequest(), {
      onFrames: (bytes) => this.#received(bytes),
      onEnd: (end) => this.#ended(end),
      onFailure: (failure) => this.#failed(failure),
    });
  }

  #readRequest(): ReadRequest {
    const range = { from: this.#frontier, until: this.#until };
    return this.#reader.request({ ...range, exclude: this.#exclude, credit: this.#credit });
  }

  #received(bytes: Uint8Array): void {
    const kept = detached(bytes);
    this.#receivedBytes += kept.byteLength;
    if (this.#receivedBytes > this.#credit + LIMITS.frameBytesMax) {
      this.#request?.cancel();
      this.#giveUp('sends more than it was asked for');
      return;
    }
    for (let position = 0; position < kept.byteLength; ) {
      let batch: StoredBatch;
      try {
        batch = verifyBatch(kept, position, this.#reader, this.#reader.context.ports.crc32);
      } catch {
        this.#request?.cancel();
        this.#becomeCorrupt();
        return;
      }
      position += batch.header.frameLength;
      // What overlaps the start is wanted; what was there before is a repeat.
      if (batch.end <= this.#frontier || batch.header.baseOffset >= this.#until) continue;
      this.#batches.push(batch);
      this.#bufferedBytes += batch.header.frameLength;
      this.#frontier = batch.end;
    }
    this.#onProgress();
  }

  #ended(end: ReadEnd): void {
    this.#reader.releasedOffsetSeen(end.releasedOffset);
    const reached = Math.min(end.next, this.#until) as Offset;
    if (reached > this.#frontier) this.#frontier = reached;
    this.#state = 'idle';
    if (this.#frontier > this.#requestFrom) {
      this.#fruitless = 0;
      this.#backoff.reset();
      this.#pump();
    } else {
      this.#tryLater('ends without progress');
    }
    this.#onProgress();
  }

  #failed(failure: ReadFailure): void {
    switch (failure.kind) {
      case 'absent':
        this.#giveUp('nobody listens');
        return;
      case 'silent':
        this.#giveUp('does not answer');
        return;
      case 'refused':
        this.#refused(failure.error);
        return;
      default:
        // At once when something came, so that a loss costs no more than a request.
        this.#state = 'idle';
        if (this.#frontier > this.#requestFrom) {
          this.#fruitless = 0;
          this.#pump();
        } else {
          this.#tryLater(failure.kind === 'lost' ? 'messages are lost' : 'sends malformed messages');
        }
    }
  }

  #refused(error: PyralogError): void {
    if (error.code === 'corrupt') this.#becomeCorrupt();
    else if (error.code === 'overloaded') this.#tryLater(error.message, SETTINGS.readsRefusedMax);
    else if (error.retry === 'never') this.#giveUp(error.message);
    else this.#tryLater(error.message);
  }

  #becomeCorrupt(): void {
    this.#state = 'corrupt';
    this.#onProgress();
  }

  #tryLater(reason: string, attemptsMax: number = SETTINGS.readsFruitlessMax): void {
    this.#fruitless++;
    if (this.#fruitless >= attemptsMax) {
      this.#giveUp(reason);
      return;
    }
    this.#state = 'reading';
    this.#pause = this.#reader.context.ports.clock.schedule(this.#backoff.next(), () => {
      this.#state = 'idle';
      this.#pump();
    });
  }

  #giveUp(reason: string): void {
    this.#state = 'failed';
    this.#reader.context.health.failed(this.nodeId, this.#readRequest(), reason);
    this.#onProgress();
  }
}
