/**
 * Answers to sequencers, gathered: one message per sequencer and commit. What is answered outside of a commit
 * (duplicates, refusals, `memory` batches) is gathered over what arrived together.
 */
import {
  type Clock,
  describeError,
  type Epoch,
  encodeStoreAcks,
  type FrameHeader,
  type Incarnation,
  type Logger,
  STORE_ACKS_MAX,
  type StorageNodeId,
  type StoreAck,
  type StoreVerdict,
  type Transport,
} from '@pyralog/shared/core';

/** A message's prefix, the node's id, and one entry, bytes: `store-acks.ts` has the layout. */
const PREFIX_BYTES_MAX = 16 + 63;
const ENTRY_BYTES = 32;

export class Acknowledgements {
  readonly #nodeId: StorageNodeId;
  readonly #incarnation: Incarnation;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #gathered = new Map<string, StoreAck[]>();
  #flushing = false;

  constructor(options: {
    nodeId: StorageNodeId;
    incarnation: Incarnation;
    transport: Transport;
    clock: Clock;
    logger: Logger;
  }) {
    this.#nodeId = options.nodeId;
    this.#incarnation = options.incarnation;
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Gathers one answer. `seen` is the epoch that a fenced store met. It is sent by `flush`. */
  add(replyTo: string | undefined, header: FrameHeader, verdict: StoreVerdict, seen: Epoch = 0 as Epoch): void {
    if (replyTo === undefined) return;
    const { partitionId, epoch, nonce, baseOffset } = header;
    const ack: StoreAck = { partitionId, epoch, nonce, baseOffset, verdict, sealedEpoch: seen };
    const acks = this.#gathered.get(replyTo);
    if (acks === undefined) this.#gathered.set(replyTo, [ack]);
    else acks.push(ack);
  }

  /** Sends what is gathered once what has already arrived is processed. */
  flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#clock.defer(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  flush(): void {
    if (this.#gathered.size === 0) return;
    const gathered = this.#gathered;
    this.#gathered = new Map();
    const limit = Math.max(
      1,
      Math.min(STORE_ACKS_MAX, Math.floor((this.#transport.payloadBytesMax - PREFIX_BYTES_MAX) / ENTRY_BYTES)),
    );
    for (const [replyTo, acks] of gathered) {
      for (let from = 0; from < acks.length; from += limit) {
        this.#send(replyTo, acks.length <= limit ? acks : acks.slice(from, from + limit));
      }
    }
  }

  /** An acknowledgement that is lost costs a resend, which is acknowledged again. */
  #send(replyTo: string, acks: readonly StoreAck[]): void {
    try {
      this.#transport.publish(replyTo, encodeStoreAcks({ nodeId: this.#nodeId, incarnation: this.#incarnation, acks }));
    } catch (reason) {
      this.#logger.debug('acknowledgements were not sent', { problem: describeError(reason), count: acks.length });
    }
  }
}
