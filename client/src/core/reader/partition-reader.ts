/**
 * Reads one partition: fragment after fragment, into a bounded queue that its reader takes from.
 *
 * Offsets are contiguous across fragments, so the position alone says which fragment is next.
 */
import {
  delay,
  type Fragment,
  fragmentAt,
  type Offset,
  type PartitionTopology,
  PyralogError,
} from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import { Closing } from '../closing.ts';
import { asPyralogError } from '../producer/append-failure.ts';
import { SETTINGS } from '../settings.ts';
import { catchUp } from './catch-up.ts';
import type { ReaderContext } from './context.ts';
import { type FollowedPartition, follow } from './follow.ts';
import { FragmentReader } from './fragment-reader.ts';
import type { ConsumedBatch, ReaderSettings } from './options.ts';
import { noSuchPartition } from './released-offset.ts';
import { findRange, trimmed } from './start-offset.ts';
import { consume, type StoredBatch } from './stored-batch.ts';

export class PartitionReader implements FollowedPartition {
  readonly partition: number;
  readonly closing = new Closing();
  readonly #context: ReaderContext;
  readonly #settings: ReaderSettings;
  readonly #onReady: () => void;
  readonly #roomListeners = new Set<() => void>();
  /** Delivered batches, from `#head`. */
  #queue: StoredBatch[] = [];
  #head = 0;
  #queuedBytes = 0;
  /** Next offset to be delivered into the queue. */
  #position = 0 as Offset;
  /** Whether a batch begins at `#position`. */
  #isBase = false;
  /** First offset that the application wants. */
  #from = 0 as Offset;
  #until: Offset | undefined;
  #reader: FragmentReader | undefined;
  #end: 'done' | PyralogError | undefined;

  /** @param onReady called when `take` has something, or `end` is set. */
  constructor(context: ReaderContext, partition: number, settings: ReaderSettings, onReady: () => void) {
    this.#context = context;
    this.partition = partition;
    this.#settings = settings;
    this.#onReady = onReady;
  }

  start(): void {
    this.#run().then(
      () => this.#finish('done'),
      (error: unknown) => this.#finish(asPyralogError(error)),
    );
  }

  get position(): Offset {
    return this.#position;
  }

  /** Why nothing comes after what is queued. */
  get end(): 'done' | PyralogError | undefined {
    return this.#end;
  }

  get isReady(): boolean {
    return this.#head < this.#queue.length;
  }

  /** The next batch of the queue. @throws PyralogError `corrupt`. */
  take(): ConsumedBatch | undefined {
    const batch = this.#queue[this.#head];
    if (batch === undefined) return undefined;
    const hadRoom = this.hasRoom();
    this.#head++;
    this.#queuedBytes -= batch.header.frameLength;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (!hadRoom && this.hasRoom()) for (const listener of [...this.#roomListeners]) listener();
    return consume(batch, this.partition, this.#from);
  }

  hasRoom(): boolean {
    return this.#queuedBytes < this.#context.partitionBytes / 2;
  }

  onRoom(listener: () => void): { cancel(): void } {
    this.#roomListeners.add(listener);
    return { cancel: () => this.#roomListeners.delete(listener) };
  }

  deliver(batch: StoredBatch): void {
    if (this.closing.isClosed) return;
    this.#position = batch.end;
    this.#isBase = true;
    this.#queue.push(batch);
    this.#queuedBytes += batch.header.frameLength;
    if (this.#queue.length - this.#head === 1) this.#onReady();
  }

  async catchUp(reader: FragmentReader, until: Offset): Promise<void> {
    const { closing } = this;
    const whileMissing = (): void => this.#checkTrim();
    const from = this.#position;
    await catchUp({ reader, from, until, isBase: this.#isBase, sink: this, closing, whileMissing });
  }

  close(): void {
    this.closing.close();
    this.#queue = [];
    this.#head = 0;
    this.#queuedBytes = 0;
  }

  #finish(end: 'done' | PyralogError): void {
    this.#end = end;
    this.#onReady();
  }

  async #run(): Promise<void> {
    const range = await findRange(this.#context, this.partition, this.#settings, this.closing);
    if (range === undefined) return;
    this.#from = range.from;
    this.#position = range.from;
    this.#isBase = range.isBase;
    this.#until = range.until;
    while (!this.closing.isClosed && (this.#until === undefined || this.#position < this.#until)) {
      const described = this.#described();
      this.#checkTrim();
      const fragment = fragmentAt(described.fragments, this.#position);
      if (fragment === undefined) await this.#waitForFragment();
      else await this.#readFragment(described, fragment);
    }
  }

  async #readFragment(described: PartitionTopology, fragment: Fragment): Promise<void> {
    if (this.#position === fragment.start) this.#isBase = true;
    const reader = this.#fragmentReader(described, fragment);
    const end = fragment.end ?? this.#until;
    if (end === undefined) await follow(this, reader);
    else await this.catchUp(reader, Math.min(end, this.#until ?? end) as Offset);
  }

  /** The same for as long as the fragment is, so that its copyset table is built once. */
  #fragmentReader(described: PartitionTopology, fragment: Fragment): FragmentReader {
    const known = this.#reader;
    const isSame = known?.fragment.epoch === fragment.epoch && known.fragment.nonce === fragment.nonce;
    if (known !== undefined && isSame && known.partitionId === described.partitionId) return known;
    this.#reader = new FragmentReader(this.#context, this.partition, described.partitionId, fragment);
    return this.#reader;
  }

  /** Nobody has opened an epoch for the position yet. */
  async #waitForFragment(): Promise<void> {
    const { ports, topology } = this.#context;
    const { topologyDelayMsMin: delayMsMin, topologyDelayMsMax: delayMsMax } = SETTINGS;
    const backoff = new Backoff(ports.random, { delayMsMin, delayMsMax });
    while (!this.closing.isClosed && fragmentAt(this.#described().fragments, this.#position) === undefined) {
      this.#checkTrim();
      try {
        await topology.refresh(topology.view);
      } catch (error) {
        if (!(error instanceof PyralogError) || error.retry === 'never') throw error;
      }
      await delay(ports.clock, backoff.next());
    }
  }

  #described(): PartitionTopology {
    const { view } = this.#context.topology;
    const described = view?.partitions[this.partition];
    if (view !== undefined && described !== undefined) return described;
    throw view === undefined
      ? new PyralogError({ code: 'unavailable', message: 'topology is not known' })
      : noSuchPartition(this.partition, view);
  }

  /** @throws PyralogError `trimmed` when what comes next was deleted meanwhile. */
  #checkTrim(): void {
    const { trimPoint } = this.#described();
    if (this.#position < trimPoint) throw trimmed(this.partition, this.#position, trimPoint);
  }
}
