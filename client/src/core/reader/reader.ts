/**
 * Reads a log: its partitions side by side, each in order, merged fairly into one iteration. Everything is pulled: while the
 * consumer is slow, no more is fetched than the credit allows.
 *
 * One consumer: every iteration of a reader's records is the same one, and ending an iteration closes the reader.
 */
import { delay, describeError, LIMITS, PyralogError } from '@pyralog/shared/core';
import type { AbortSignalLike } from '../abort.ts';
import { Backoff } from '../backoff.ts';
import type { PartitionStatuses } from '../partition-statuses.ts';
import type { ClientPorts } from '../ports.ts';
import { asPyralogError } from '../producer/append-failure.ts';
import { SETTINGS } from '../settings.ts';
import type { CachedTopology, LogView } from '../topology.ts';
import { Wake } from '../wake.ts';
import { ByteBudget, type ReaderContext } from './context.ts';
import { NodeHealth } from './node-health.ts';
import {
  type ConsumedBatch,
  type ConsumedRecord,
  checkReaderOptions,
  type ReaderNotice,
  type ReaderOptions,
  type ReaderSettings,
} from './options.ts';
import { PartitionReader } from './partition-reader.ts';
import { ReadRequests } from './read-requests.ts';
import { noSuchPartition } from './released-offset.ts';

export class Reader implements AsyncIterable<ConsumedRecord> {
  readonly #ports: ClientPorts;
  readonly #topology: CachedTopology;
  readonly #statuses: PartitionStatuses;
  readonly #settings: ReaderSettings;
  readonly #signal: AbortSignalLike | undefined;
  readonly #onNotice: ((notice: ReaderNotice) => void) | undefined;
  readonly #onClosed: () => void;
  readonly #onAbort = (): void => this.#close();
  readonly #wake = new Wake();
  #context: ReaderContext | undefined;
  #partitions: PartitionReader[] = [];
  /** Partitions with something to take, the next first. */
  readonly #ready = new Set<PartitionReader>();
  #isStarted = false;
  #failure: unknown;
  #isClosed = false;
  readonly #batches: BatchIterator;
  readonly #records: RecordIterator;

  constructor(options: {
    ports: ClientPorts;
    topology: CachedTopology;
    statuses: PartitionStatuses;
    options: ReaderOptions;
    onClosed: () => void;
  }) {
    this.#settings = checkReaderOptions(options.options);
    this.#ports = options.ports;
    this.#topology = options.topology;
    this.#statuses = options.statuses;
    this.#signal = options.options.signal;
    this.#onNotice = options.options.onNotice;
    this.#onClosed = options.onClosed;
    this.#batches = new BatchIterator(
      () => this.#pull(),
      () => this.#close(),
    );
    this.#records = new RecordIterator(this.#batches);
    if (this.#signal?.aborted === true) this.#close();
    else this.#signal?.addEventListener('abort', this.#onAbort);
  }

  /**
   * Record by record. The reader starts with the first `next`.
   * @throws PyralogError `trimmed`, `invalid` (no such log or partition), `corrupt`; afterwards the reader is closed.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumedRecord> {
    return this.#records;
  }

  /** Batch by batch: cheaper than record by record. Throws as the iteration of records does. */
  batches(): AsyncIterableIterator<ConsumedBatch> {
    return this.#batches;
  }

  /** Ends every iteration. */
  async close(): Promise<void> {
    this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }

  /** The next batch of any partition; `undefined` at the end. */
  async #pull(): Promise<ConsumedBatch | undefined> {
    this.#start();
    try {
      while (!this.#isClosed) {
        if (this.#failure !== undefined) throw this.#failure;
        const batch = this.#takeNext();
        if (batch !== undefined) return batch;
        if (this.#isAtEnd()) break;
        await this.#wake.wait();
      }
    } catch (error) {
      this.#close();
      throw asPyralogError(error);
    }
    this.#close();
    return undefined;
  }

  #isAtEnd(): boolean {
    if (this.#context === undefined) return false;
    return this.#partitions.every((partition) => partition.end !== undefined && !partition.isReady);
  }

  #takeNext(): ConsumedBatch | undefined {
    // Whoever still has something goes to the end, so that none waits for another that has much.
    for (const partition of this.#ready) {
      this.#ready.delete(partition);
      const batch = partition.take();
      if (batch === undefined && partition.end instanceof Error) throw partition.end;
      if (partition.isReady || partition.end instanceof Error) this.#ready.add(partition);
      // A batch that ends before the start is empty.
      if (batch !== undefined && batch.records.length > 0) return batch;
    }
    return undefined;
  }

  #start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#open().catch((error: unknown) => {
      this.#failure = error;
      this.#wake.wake();
    });
  }

  async #open(): Promise<void> {
    const view = await this.#findTopology();
    if (view === undefined || this.#isClosed) return;
    const partitions = this.#settings.partitions ?? view.partitions.map(({ partition }) => partition);
    for (const partition of partitions) {
      if (partition >= view.log.partitionCount) throw noSuchPartition(partition, view);
    }
    const ports = this.#ports;
    const notice = (what: ReaderNotice): void => this.#report(what);
    const reads = new ReadRequests(ports, view.log.namespace);
    const context: ReaderContext = {
      ports,
      topology: this.#topology,
      statuses: this.#statuses,
      reads,
      health: new NodeHealth(ports, reads, notice),
      tailBudget: new ByteBudget(LIMITS.readerTailBytesMax),
      partitionBytes: this.#settings.creditBytes / partitions.length,
      notice,
    };
    this.#context = context;
    this.#partitions = partitions.map((partition) => {
      const reader: PartitionReader = new PartitionReader(context, partition, this.#settings, () => {
        this.#ready.add(reader);
        this.#wake.wake();
      });
      return reader;
    });
    for (const partition of this.#partitions) partition.start();
    this.#wake.wake();
  }

  /** A reader that follows outlives outages, also one at its start; the other reports them. */
  async #findTopology(): Promise<LogView | undefined> {
    const { clock, random } = this.#ports;
    const { topologyDelayMsMin: delayMsMin, topologyDelayMsMax: delayMsMax } = SETTINGS;
    const backoff = new Backoff(random, { delayMsMin, delayMsMax });
    while (!this.#isClosed) {
      try {
        return await this.#topology.get();
      } catch (error) {
        if (!this.#settings.follow || !(error instanceof PyralogError) || error.retry === 'never') throw error;
        this.#report({ kind: 'waiting-for-topology', problem: describeError(error) });
      }
      await delay(clock, backoff.next());
    }
    return undefined;
  }

  #report(notice: ReaderNotice): void {
    if (this.#isClosed || this.#onNotice === undefined) return;
    try {
      this.#onNotice(notice);
    } catch (error) {
      this.#ports.logger.error('onNotice failed', { error });
    }
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    for (const partition of this.#partitions) partition.close();
    this.#ready.clear();
    this.#context?.health.close();
    this.#context?.reads.close();
    this.#topology.release();
    this.#onClosed();
    this.#wake.wake();
  }
}

type Pull = () => Promise<ConsumedBatch | undefined>;

/** Calls of `next` that overlap are answered one after another. */
class BatchIterator implements AsyncIterableIterator<ConsumedBatch> {
  readonly #pull: Pull;
  readonly #close: () => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(pull: Pull, close: () => void) {
    this.#pull = pull;
    this.#close = close;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ConsumedBatch>> {
    const next = this.#last.then(async (): Promise<IteratorResult<ConsumedBatch>> => {
      const value = await this.#pull();
      return value === undefined ? { done: true, value: undefined } : { done: false, value };
    });
    this.#last = next.catch(() => undefined);
    return next;
  }

  async return(): Promise<IteratorResult<ConsumedBatch>> {
    this.#close();
    return { done: true, value: undefined };
  }
}

class RecordIterator implements AsyncIterableIterator<ConsumedRecord> {
  readonly #batches: BatchIterator;
  #records: readonly ConsumedRecord[] = [];
  #index = 0;
  /** Calls of `next` that wait for a batch. */
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(batches: BatchIterator) {
    this.#batches = batches;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ConsumedRecord>> {
    const value = this.#waiting === 0 ? this.#records[this.#index] : undefined;
    if (value !== undefined) {
      this.#index++;
      return Promise.resolve({ done: false, value });
    }
    this.#waiting++;
    const next = this.#last.then(() => this.#nextOfBatch());
    this.#last = next.catch(() => undefined);
    return next;
  }

  async return(): Promise<IteratorResult<ConsumedRecord>> {
    this.#records = [];
    await this.#batches.return();
    return { done: true, value: undefined };
  }

  async #nextOfBatch(): Promise<IteratorResult<ConsumedRecord>> {
    try {
      for (;;) {
        const value = this.#records[this.#index];
        if (value !== undefined) {
          this.#index++;
          return { done: false, value };
        }
        const batch = await this.#batches.next();
        if (batch.done === true) return { done: true, value: undefined };
        this.#records = batch.value.records;
        this.#index = 0;
      }
    } finally {
      this.#waiting--;
    }
  }
}
