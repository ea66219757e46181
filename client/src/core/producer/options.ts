/** What an application says to a producer and hears from it. */
import { checkWhole, type Epoch, LIMITS, type Offset, type RecordHeaders } from '@pyralog/shared/core';
import type { AbortSignalLike } from '../abort.ts';

export interface ProducerOptions {
  /** Longest time that a record waits for others to share its batch. Default 5; 0 gathers what is written in one turn. */
  readonly lingerMs?: number | undefined;
  /** Size at which a batch is sent, bytes. Default 256 KiB; the NATS server's `max_payload` lowers it. */
  readonly batchBytes?: number | undefined;
  /** Encoded and unacknowledged bytes; beyond it calls wait. Default 32 MiB. */
  readonly inFlightBytesMax?: number | undefined;
  /** Batches of one partition that are sent and not answered. Default and limit 5: as many as the owner remembers. */
  readonly inFlightBatchesMax?: number | undefined;
  /** A record is acknowledged, or reported as failed, within this time of entering its batch. Default 120 000. */
  readonly deliveryTimeoutMs?: number | undefined;
  /** Until a batch that was not answered is sent again. Default 10 000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Called for every acknowledged batch, in offset order of its partition. Must not throw. */
  readonly onAcknowledged?: ((ack: BatchAck) => void) | undefined;
}

/** Consecutive records of one partition that are durable. */
export interface BatchAck {
  readonly partition: number;
  /** Of the first record. */
  readonly offset: Offset;
  readonly count: number;
  readonly epoch: Epoch;
  /** When the owner took the batch, milliseconds since the Unix epoch. */
  readonly timestamp: number;
}

/** A record that is durable. */
export interface AppendResult {
  readonly partition: number;
  readonly offset: Offset;
  readonly epoch: Epoch;
  /** When the owner took the record, milliseconds since the Unix epoch. */
  readonly timestamp: number;
}

/** Text is encoded as UTF-8. */
export interface RecordInput {
  /** Records of one key go to one partition and keep their order. */
  readonly key?: Uint8Array | string | undefined;
  readonly value?: Uint8Array | string | undefined;
  readonly headers?: RecordHeaders | Readonly<Record<string, Uint8Array | string>> | undefined;
  /** Milliseconds since the Unix epoch; now when absent. */
  readonly timestamp?: number | undefined;
  /** Wins over the key. */
  readonly partition?: number | undefined;
}

export interface AppendOptions {
  /** Aborting rejects: outcome `not-applied` while the record is in no batch, `unknown` afterwards. */
  readonly signal?: AbortSignalLike | undefined;
}

export interface ProducerSettings {
  readonly lingerMs: number;
  readonly batchBytes: number;
  readonly inFlightBytesMax: number;
  readonly inFlightBatchesMax: number;
  readonly deliveryTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

const HOUR_MS = 3_600_000;

/** @throws PyralogError `invalid` naming the option and its limits. */
export function checkProducerOptions(options: ProducerOptions): ProducerSettings {
  const settings: ProducerSettings = {
    lingerMs: options.lingerMs ?? 5,
    batchBytes: options.batchBytes ?? 256 * 1024,
    inFlightBytesMax: options.inFlightBytesMax ?? LIMITS.producerInFlightBytesMax,
    inFlightBatchesMax: options.inFlightBatchesMax ?? LIMITS.producerBatchesRemembered,
    deliveryTimeoutMs: options.deliveryTimeoutMs ?? 120_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
  };
  checkWhole('lingerMs', settings.lingerMs, 0, HOUR_MS);
  checkWhole('batchBytes', settings.batchBytes, 1, LIMITS.frameBytesMax);
  checkWhole('inFlightBytesMax', settings.inFlightBytesMax, 1, Number.MAX_SAFE_INTEGER);
  checkWhole('inFlightBatchesMax', settings.inFlightBatchesMax, 1, LIMITS.producerBatchesRemembered);
  checkWhole('deliveryTimeoutMs', settings.deliveryTimeoutMs, 1, 24 * HOUR_MS);
  checkWhole('requestTimeoutMs', settings.requestTimeoutMs, 1, HOUR_MS);
  return settings;
}
