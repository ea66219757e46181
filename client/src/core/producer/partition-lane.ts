/**
 * The records of one partition before they are sent: one open batch, closed when it is full, due, or its sender has room.
 *
 * A batch that is due while its sender is busy stays open: under load batches fill up instead of queueing half empty.
 */
import { LIMITS, type Timer } from '@pyralog/shared/core';
import type { ClientPorts } from '../ports.ts';
import { SETTINGS } from '../settings.ts';
import { BATCH_PREFIX_BYTES_MAX, Batch, type Settler } from './batch.ts';
import type { ProducerSettings } from './options.ts';
import type { PartitionSender } from './partition-sender.ts';
import type { PreparedRecord } from './prepared-record.ts';

export class PartitionLane {
  readonly partition: number;
  readonly sender: PartitionSender;
  readonly #ports: ClientPorts;
  readonly #settings: ProducerSettings;
  readonly #onClosed: (lane: PartitionLane) => void;
  #open: Batch | undefined;
  #isDue = false;
  #linger: Timer | undefined;

  /** @param onClosed called when the open batch was closed and given to the sender. */
  constructor(options: {
    partition: number;
    sender: PartitionSender;
    ports: ClientPorts;
    settings: ProducerSettings;
    onClosed: (lane: PartitionLane) => void;
  }) {
    this.partition = options.partition;
    this.sender = options.sender;
    this.#ports = options.ports;
    this.#settings = options.settings;
    this.#onClosed = options.onClosed;
  }

  get openBatch(): Batch | undefined {
    return this.#open;
  }

  /** @returns the batch that the record is in. */
  append(record: PreparedRecord, settler: Settler | undefined): Batch {
    this.makeRoom(record);
    const batch = this.#open ?? this.#begin(record.timestampMs);
    batch.add(record, settler);
    return batch;
  }

  /** Closes the open batch if the record does not fit into it. */
  makeRoom(record: PreparedRecord): void {
    if (this.#open?.fits(record.timestampMs, record.size) === false) this.#close();
  }

  /** The open batch is due: it goes as soon as the sender has room. */
  makeDue(): void {
    if (this.#open === undefined) return;
    this.#isDue = true;
    if (this.sender.hasRoom) this.#close();
  }

  /** The sender has room. */
  senderHasRoom(): void {
    if (this.#isDue && this.#open !== undefined) this.#close();
  }

  /** The open batch, taken away without being sent. */
  abandon(): Batch | undefined {
    const batch = this.#open;
    this.#linger?.cancel();
    this.#open = undefined;
    return batch;
  }

  #begin(timestampMs: number): Batch {
    const { clock, transport } = this.#ports;
    const limitBytes = Math.min(this.#settings.batchBytes, frameBytesMax(transport.payloadBytesMax));
    const batch = new Batch({
      baseTimestampMs: timestampMs,
      openedAtMs: clock.monotonicMs(),
      limitBytes,
    });
    this.#open = batch;
    this.#isDue = false;
    const { lingerMs } = this.#settings;
    if (lingerMs > 0) {
      this.#linger = clock.schedule(lingerMs, () => this.makeDue());
    } else {
      clock.defer(() => {
        if (this.#open === batch) this.makeDue();
      });
    }
    return batch;
  }

  #close(): void {
    const batch = this.#open;
    if (batch === undefined) return;
    this.#linger?.cancel();
    this.#linger = undefined;
    this.#open = undefined;
    this.#isDue = false;
    batch.finish();
    this.#onClosed(this);
    this.sender.enqueue(batch);
  }
}

/** Header and body of the largest frame that a server with this `max_payload` takes. */
function frameBytesMax(payloadBytesMax: number): number {
  return Math.min(LIMITS.frameBytesMax, payloadBytesMax - SETTINGS.payloadReserveBytes);
}

/** The largest record that a server with this `max_payload` takes. */
export function recordBytesMax(payloadBytesMax: number): number {
  return Math.min(LIMITS.recordBytesMax, frameBytesMax(payloadBytesMax) - BATCH_PREFIX_BYTES_MAX);
}
