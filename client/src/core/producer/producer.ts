/**
 * Appends records to a log: picks the partition, gathers batches, bounds what is in flight, reports what became of it.
 *
 * Keys, values and headers given as bytes are not copied until their batch is encoded: they must not be changed before the
 * record is acknowledged, as with any stream of Node.js.
 */
import { delay, formatLogName, invalid, PyralogError, partitionOfKey, type Registration } from '@pyralog/shared/core';
import { aborted } from '../abort.ts';
import { Backoff } from '../backoff.ts';
import type { ClientPorts } from '../ports.ts';
import { SETTINGS } from '../settings.ts';
import type { CachedTopology } from '../topology.ts';
import { Admission } from './admission.ts';
import { asPyralogError, withOutcome } from './append-failure.ts';
import { type Batch, isAck, type Settler } from './batch.ts';
import { BatchCollector } from './batch-collector.ts';
import {
  type AppendOptions,
  type AppendResult,
  type BatchAck,
  checkProducerOptions,
  type ProducerOptions,
  type ProducerSettings,
  type RecordInput,
} from './options.ts';
import { PartitionLane, recordBytesMax } from './partition-lane.ts';
import { PartitionSender } from './partition-sender.ts';
import { PendingAppend } from './pending-append.ts';
import { emptyRecord, type PreparedRecord, prepare } from './prepared-record.ts';
import { TextSlab } from './text-slab.ts';
import { WriteFailures } from './write-failures.ts';

export class Producer {
  readonly #ports: ClientPorts;
  readonly #topology: CachedTopology;
  readonly #settings: ProducerSettings;
  readonly #onAcknowledged: ((ack: BatchAck) => void) | undefined;
  readonly #onClosed: () => void;
  readonly #producerId: bigint;
  readonly #admission: Admission;
  /** By partition; made at first use. */
  readonly #lanes: (PartitionLane | undefined)[] = [];
  /** Those with a batch that takes records. */
  readonly #openLanes = new Set<PartitionLane>();
  readonly #unsettled = new Set<Batch>();
  readonly #changes: Registration;
  /** For the record that goes straight into its batch. */
  readonly #record = emptyRecord();
  readonly #limits = { nowMs: 0, recordBytesMax: 0, texts: new TextSlab() };
  #partitionCount = 0;
  /** Takes the records without key, until its batch is closed. */
  #stickyPartition = 0;
  /** Why nothing can be appended any more. */
  #ended: PyralogError | undefined;
  /** Nothing is left to be sent, either. */
  #isOver = false;
  #closing: Promise<void> | undefined;
  readonly #writeFailures = new WriteFailures();

  constructor(ports: ClientPorts, topology: CachedTopology, options: ProducerOptions, onClosed: () => void) {
    this.#settings = checkProducerOptions(options);
    this.#ports = ports;
    this.#topology = topology;
    this.#onAcknowledged = options.onAcknowledged;
    this.#onClosed = onClosed;
    this.#producerId = ports.random.u64() || 1n;
    this.#admission = new Admission(this.#settings.inFlightBytesMax, () => this.#makeAllDue());
    this.#changes = topology.onChange(() => this.#topologyChanged());
    void this.#start();
  }

  /**
   * Appends a record; resolves when it is durable. Waits for room first.
   * @throws PyralogError `invalid` naming field and limit, `overloaded` when too much waits already, `closed`, `timeout`
   *   (outcome `unknown` unless it was never sent), or why the owner refused it.
   */
  append(input: RecordInput, options: AppendOptions = {}): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      const record = emptyRecord();
      this.#prepare(record, input);
      const { signal } = options;
      if (signal?.aborted === true) throw aborted(signal, 'not-applied');
      const pending = new PendingAppend(resolve, reject, signal, this.#admission);
      if (this.#admission.tryTake(record.size)) {
        this.#place(record, pending);
        pending.placed();
      } else {
        pending.wait(record.size, () => this.#place(record, pending));
      }
    });
  }

  /**
   * Appends a record without a result of its own: failures reject `flush`. The hot path.
   * @returns `undefined` when the record was taken; a promise when it was taken and the next should wait for it.
   * @throws PyralogError `invalid`, `overloaded`, `closed`: the record was not taken.
   */
  write(input: RecordInput): Promise<void> | undefined {
    const record = this.#record;
    this.#prepare(record, input);
    if (this.#admission.tryTake(record.size)) {
      this.#place(record, undefined);
      return undefined;
    }
    this.#admission.checkWaiting(record.size);
    const waiting = { ...record };
    return this.#admission
      .waitFor(record.size, () => this.#place(waiting, undefined), undefined)
      .catch((error: unknown) => {
        this.#writeFailures.add(asPyralogError(error), 1);
        throw error;
      });
  }

  /**
   * Appends records; resolves when all are durable, with one acknowledgement for every run of consecutive offsets.
   * @throws PyralogError as `append` does. When it is `invalid`, nothing was appended; otherwise some records may have been.
   */
  async appendBatch(inputs: readonly RecordInput[], options: AppendOptions = {}): Promise<BatchAck[]> {
    const { signal } = options;
    const records = inputs.map((input) => {
      const record = emptyRecord();
      this.#prepare(record, input);
      return record;
    });
    if (signal?.aborted === true) throw aborted(signal, 'not-applied');
    const collector = new BatchCollector(signal);
    try {
      for (const record of records) {
        if (collector.isOver) break;
        if (this.#ended !== undefined) throw this.#ended;
        const place = (): void => {
          collector.expect();
          this.#place(record, collector);
        };
        if (this.#admission.tryTake(record.size)) place();
        else await this.#admission.waitFor(record.size, place, signal);
      }
    } catch (error) {
      collector.failed(asPyralogError(error));
    }
    return collector.finish();
  }

  /**
   * Sends everything that was appended before, and resolves when all of it is durable.
   * @throws PyralogError the first failure of a `write` since the last flush; field `failedRecords` counts them.
   */
  async flush(): Promise<void> {
    if (this.#isOver) throw this.#writeFailures.take() ?? this.#ended;
    await this.#drain();
    const failure = this.#writeFailures.take();
    if (failure !== undefined) throw failure;
  }

  /** Flushes, then takes nothing more. @throws PyralogError as `flush` does; the producer is closed all the same. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#ended ??= new PyralogError({ code: 'closed', message: 'producer is closed' });
    if (!this.#isOver) await this.#drain();
    this.#end(this.#ended);
    const failure = this.#writeFailures.take();
    if (failure !== undefined) throw failure;
  }

  /** Resolves when everything that was accepted before is settled. */
  async #drain(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#admission.wait({ size: 0, admit: () => this.#whenSettled(resolve), reject: () => resolve() });
    });
  }

  /** Learns how many partitions there are; until then everything waits. */
  async #start(): Promise<void> {
    const { clock, random } = this.#ports;
    const backoff = new Backoff(random, { delayMsMin: SETTINGS.sendDelayMsMin, delayMsMax: SETTINGS.sendDelayMsMax });
    let waitingSinceMs = clock.monotonicMs();
    while (!this.#isOver) {
      try {
        const view = await this.#topology.get();
        if (this.#isOver) return;
        this.#partitionCount = view.log.partitionCount;
        this.#stickyPartition = Math.floor(random.fraction() * this.#partitionCount);
        this.#admission.open();
        return;
      } catch (reason) {
        const error = asPyralogError(reason);
        if (error.retry === 'never') {
          this.#end(error);
          return;
        }
        if (clock.monotonicMs() - waitingSinceMs >= this.#settings.deliveryTimeoutMs) {
          this.#admission.rejectAll(withOutcome(error, 'not-applied'));
          waitingSinceMs = clock.monotonicMs();
        }
      }
      if (!this.#isOver) await delay(clock, backoff.next());
    }
  }

  /** @throws PyralogError `invalid`, `closed`. */
  #prepare(record: PreparedRecord, input: RecordInput): void {
    if (this.#ended !== undefined) throw this.#ended;
    const { clock, transport } = this.#ports;
    this.#limits.nowMs = clock.wallMs();
    this.#limits.recordBytesMax = recordBytesMax(transport.payloadBytesMax);
    prepare(record, input, this.#limits);
    const { partition } = record;
    if (partition === undefined) return;
    const isKnown = this.#partitionCount > 0;
    if (!Number.isSafeInteger(partition) || partition < 0 || (isKnown && partition >= this.#partitionCount)) {
      throw this.#noSuchPartition(partition);
    }
  }

  #noSuchPartition(partition: number): PyralogError {
    const log = formatLogName(this.#topology.log);
    return invalid('partition', 'log has no such partition', { log, partition, partitions: this.#partitionCount });
  }

  /** Puts a record that has its room into the batch of its partition. */
  #place(record: PreparedRecord, settler: Settler | undefined): void {
    const partition = record.partition ?? this.#choosePartition(record);
    if (partition >= this.#partitionCount) {
      this.#refuse(record, settler, this.#noSuchPartition(partition));
      return;
    }
    const lane = this.#lanes[partition] ?? this.#openLane(partition);
    const batch = lane.append(record, settler);
    if (batch.recordCount > 1) return;
    this.#unsettled.add(batch);
    this.#openLanes.add(lane);
  }

  #choosePartition(record: PreparedRecord): number {
    if (record.key !== undefined) return partitionOfKey(record.key, this.#partitionCount);
    // A batch that this record closes makes the next partition's turn, also for this record.
    this.#lanes[this.#stickyPartition]?.makeRoom(record);
    return this.#stickyPartition;
  }

  /** Only a record that was accepted before the number of partitions was known comes here. */
  #refuse(record: PreparedRecord, settler: Settler | undefined, error: PyralogError): void {
    if (settler === undefined) this.#writeFailures.add(error, 1);
    else settler.failed(error);
    this.#admission.release(record.size);
  }

  #openLane(partition: number): PartitionLane {
    const ports = this.#ports;
    const settings = this.#settings;
    const sender = new PartitionSender({
      ports,
      topology: this.#topology,
      partition,
      producerId: this.#producerId,
      settings,
      handlers: {
        onSettled: (batch, result) => this.#settle(batch, result),
        onRoom: () => lane.senderHasRoom(),
      },
    });
    const lane: PartitionLane = new PartitionLane({
      partition,
      sender,
      ports,
      settings,
      onClosed: () => {
        this.#openLanes.delete(lane);
        if (partition === this.#stickyPartition) this.#moveSticky();
      },
    });
    this.#lanes[partition] = lane;
    return lane;
  }

  /** The next partition for records without key: one that works, if there is one. */
  #moveSticky(): void {
    for (let step = 1; step <= this.#partitionCount; step++) {
      const partition = (this.#stickyPartition + step) % this.#partitionCount;
      if (this.#lanes[partition]?.sender.isFailing === true) continue;
      this.#stickyPartition = partition;
      return;
    }
    this.#stickyPartition = (this.#stickyPartition + 1) % this.#partitionCount;
  }

  #settle(batch: Batch, result: BatchAck | PyralogError): void {
    this.#unsettled.delete(batch);
    if (!isAck(result) && batch.unattended > 0) this.#writeFailures.add(result, batch.unattended);
    if (isAck(result) && this.#onAcknowledged !== undefined) this.#report(this.#onAcknowledged, result);
    batch.settle(result);
    this.#admission.release(batch.bytes);
  }

  #report(onAcknowledged: (ack: BatchAck) => void, ack: BatchAck): void {
    try {
      onAcknowledged(ack);
    } catch (error) {
      this.#ports.logger.error('onAcknowledged failed', { error });
    }
  }

  /** Calls `done` when every batch there is now has settled. */
  #whenSettled(done: () => void): void {
    let remaining = this.#unsettled.size;
    if (remaining === 0) {
      done();
      return;
    }
    for (const batch of this.#unsettled) {
      const before = batch.onSettled;
      batch.onSettled = () => {
        before?.();
        remaining--;
        if (remaining === 0) done();
      };
    }
    this.#makeAllDue();
  }

  #makeAllDue(): void {
    for (const lane of this.#openLanes) lane.makeDue();
  }

  #topologyChanged(): void {
    const count = this.#topology.view?.log.partitionCount;
    if (count !== undefined && this.#partitionCount > 0) this.#partitionCount = count;
    for (const lane of this.#lanes) lane?.sender.topologyChanged();
  }

  /** Nothing can be appended any more. Whatever is left fails with `error`. */
  #end(error: PyralogError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ended = error;
    this.#changes.cancel();
    this.#admission.rejectAll(withOutcome(error, 'not-applied'));
    for (const lane of this.#lanes) {
      const open = lane?.abandon();
      if (open !== undefined) this.#settle(open, error);
      lane?.sender.close(error);
    }
    this.#topology.release();
    this.#onClosed();
  }
}
