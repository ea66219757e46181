/** What an application says to a reader and gets from it. */
import { checkWhole, type Epoch, invalid, LIMITS, type Offset, type RecordHeaders } from '@pyralog/shared/core';
import type { AbortSignalLike } from '../abort.ts';
import { SETTINGS } from '../settings.ts';

/** Where to begin. `latest`: the end, as of the start. `last`: so many records before it. An offset may lie ahead. */
export type StartPosition = 'earliest' | 'latest' | { readonly offset: number } | { readonly last: number };

export interface ReaderOptions {
  /** Numbers of partitions; all of them when absent. */
  readonly partitions?: readonly number[] | undefined;
  /** Default `earliest`. */
  readonly from?: StartPosition | undefined;
  /** Default true. False: the reader ends where the released offset was when it started. */
  readonly follow?: boolean | undefined;
  /** Aborting ends the iteration, as `close` does. */
  readonly signal?: AbortSignalLike | undefined;
  /** Bytes of received and undelivered batches, over all partitions; one batch per storage node more. Default 32 MiB. */
  readonly creditBytes?: number | undefined;
  /** Hears of what goes on without an error. Must not throw. */
  readonly onNotice?: ((notice: ReaderNotice) => void) | undefined;
}

export type ReaderNotice =
  /** A storage node should hold the batch at `offset` and does not; another copy was read. */
  | { readonly kind: 'copy-missing'; readonly partition: number; readonly offset: number; readonly nodeId: string }
  /** A storage node sent a damaged copy, or says that it has one; another copy was read. */
  | { readonly kind: 'copy-corrupt'; readonly partition: number; readonly offset: number; readonly nodeId: string }
  /** A storage node does not answer; others are read instead, and it is tried again later. */
  | { readonly kind: 'node-silent'; readonly nodeId: string; readonly reason: string }
  /** It answers again. */
  | { readonly kind: 'node-back'; readonly nodeId: string }
  /** No node that answers has the batch at `offset`: reading waits for these. */
  | {
      readonly kind: 'waiting-for-nodes';
      readonly partition: number;
      readonly offset: number;
      readonly nodeIds: readonly string[];
    }
  /** No sequencer says where the log's partitions are. */
  | { readonly kind: 'waiting-for-topology'; readonly problem: string }
  /** Neither the owner nor a storage node says how far the partition is. */
  | { readonly kind: 'waiting-for-owner'; readonly partition: number; readonly problem: string }
  /** No owner says how far the partition is; storage nodes know this much, perhaps less than was acknowledged. */
  | { readonly kind: 'end-from-nodes'; readonly partition: number; readonly offset: number }
  /** The consumer is slower than the log grows: reading goes on from storage nodes. */
  | { readonly kind: 'tail-left'; readonly partition: number; readonly offset: number };

/** Bytes are views of the received message: copy what is kept for long. */
export interface ConsumedRecord {
  readonly partition: number;
  readonly offset: Offset;
  readonly epoch: Epoch;
  /** Milliseconds since the Unix epoch, as the producer gave it. */
  readonly timestamp: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: RecordHeaders;
}

export interface ConsumedBatch {
  readonly partition: number;
  readonly epoch: Epoch;
  /** Of the first record in `records`. */
  readonly baseOffset: Offset;
  readonly records: readonly ConsumedRecord[];
}

export interface ReaderSettings {
  readonly partitions: readonly number[] | undefined;
  readonly from: StartPosition;
  readonly follow: boolean;
  readonly creditBytes: number;
}

/** @throws PyralogError `invalid` naming the option and its limits. */
export function checkReaderOptions(options: ReaderOptions): ReaderSettings {
  const settings: ReaderSettings = {
    partitions: options.partitions === undefined ? undefined : [...new Set(options.partitions)],
    from: options.from ?? 'earliest',
    follow: options.follow ?? true,
    creditBytes: options.creditBytes ?? SETTINGS.creditBytes,
  };
  const { from, partitions } = settings;
  checkWhole('creditBytes', settings.creditBytes, 1, Number.MAX_SAFE_INTEGER);
  if (partitions?.length === 0) throw invalid('partitions', 'no partition is to be read');
  for (const partition of partitions ?? []) checkWhole('partitions', partition, 0, LIMITS.logPartitionsMax - 1);
  if (typeof from === 'string') {
    if (from !== 'earliest' && from !== 'latest')
      throw invalid('from', 'start is not one that is known', { value: from });
  } else if ('offset' in from) checkWhole('from', from.offset, 0, Number.MAX_SAFE_INTEGER);
  else checkWhole('from', from.last, 0, Number.MAX_SAFE_INTEGER);
  return settings;
}
