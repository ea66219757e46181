/**
 * What a partition remembers of its idempotent producers, so that a repeated batch gets the original's answer and is
 * never in the log twice, and so that a producer's batches enter the log in its order.
 *
 * Sequences are u32 and count records; a producer's batches are contiguous in them. A producer nobody remembers may
 * begin anywhere. The memory survives a change of owner: a snapshot travels in the partition record, and the frame
 * headers of later batches tell the rest.
 */
import {
  type AppendReply,
  type ClientHeader,
  type FrameHeader,
  LIMITS,
  type Offset,
  type ProducerSnapshot,
  PyralogError,
} from '@pyralog/shared/core';

const SEQUENCES = 0x1_0000_0000;

/** A batch that a producer may repeat. */
export interface KnownBatch {
  readonly recordCount: number;
  readonly released: boolean;
  readonly reply: AppendReply;
  /** Where to answer when it is released. */
  readonly replyTo: string[];
}

interface Producer {
  epoch: number;
  /** Sequence that its next batch begins with. */
  nextSequence: number;
  /** Its last batches, oldest first. */
  readonly batches: { readonly baseSequence: number; readonly batch: KnownBatch }[];
}

export class Producers {
  /** In order of last use. */
  readonly #producers = new Map<bigint, Producer>();

  /**
   * The earlier batch that `header` repeats, or `undefined` when it is new and next.
   * @throws PyralogError `unavailable` (retry `same`, with `expectedSequence`) when batches before it are missing;
   *   `invalid` when it repeats one that is no longer remembered; `fenced` when a newer epoch of the producer was seen.
   */
  check(header: ClientHeader): KnownBatch | undefined {
    if (header.producerId === 0n) return undefined;
    const producer = this.#producers.get(header.producerId);
    if (producer === undefined || header.producerEpoch > producer.epoch) return undefined;
    if (header.producerEpoch < producer.epoch) {
      throw new PyralogError({
        code: 'fenced',
        message: 'a newer epoch of the producer was seen',
        retry: 'never',
        fields: { producerEpoch: header.producerEpoch, newerEpoch: producer.epoch },
      });
    }
    if (header.baseSequence === producer.nextSequence) return undefined;
    for (const { baseSequence, batch } of producer.batches) {
      if (baseSequence === header.baseSequence && batch.recordCount === header.recordCount) return batch;
    }
    const fields = { sequence: header.baseSequence, expectedSequence: producer.nextSequence };
    const ahead = (header.baseSequence - producer.nextSequence + SEQUENCES) % SEQUENCES;
    if (ahead < SEQUENCES / 2) {
      throw new PyralogError({
        code: 'unavailable',
        message: 'batches of the producer before this one are missing',
        retry: 'same',
        fields,
      });
    }
    throw new PyralogError({
      code: 'invalid',
      message: 'batch of the producer is too old to be compared',
      outcome: 'unknown',
      fields: { field: 'sequence', ...fields },
    });
  }

  /** Remembers an admitted batch that `check` found new. */
  admitted(header: ClientHeader, batch: KnownBatch): void {
    if (header.producerId === 0n) return;
    let producer = this.#producers.get(header.producerId);
    if (producer === undefined || producer.epoch !== header.producerEpoch) {
      producer = { epoch: header.producerEpoch, nextSequence: 0, batches: [] };
    }
    producer.nextSequence = (header.baseSequence + header.recordCount) % SEQUENCES;
    producer.batches.push({ baseSequence: header.baseSequence, batch });
    if (producer.batches.length > LIMITS.producerBatchesRemembered) producer.batches.shift();
    this.#remember(header.producerId, producer);
  }

  #remember(producerId: bigint, producer: Producer): void {
    this.#producers.delete(producerId);
    this.#producers.set(producerId, producer);
    if (this.#producers.size <= LIMITS.partitionProducersMax) return;
    for (const [oldest, { batches }] of this.#producers) {
      if (batches.some(({ batch }) => !batch.released)) continue;
      this.#producers.delete(oldest);
      return;
    }
  }

  /** Takes over what another reign knew: its last snapshot, and the headers of the batches since, ascending. */
  restore(snapshot: readonly ProducerSnapshot[], headers: readonly FrameHeader[]): void {
    for (const { producerId, epoch, nextSequence, batches } of snapshot) {
      const known = batches.map(({ baseSequence, ...batch }) => ({ baseSequence, batch: settled(batch) }));
      this.#remember(producerId, { epoch, nextSequence, batches: known });
    }
    for (const header of headers) this.admitted(header, settled(header));
  }

  /** What is known of the producers seen last, up to the released offset: later batches are left to their headers. */
  snapshot(): ProducerSnapshot[] {
    const snapshots: ProducerSnapshot[] = [];
    const latest = [...this.#producers].slice(-LIMITS.partitionProducersMax);
    for (const [producerId, { epoch, nextSequence, batches }] of latest) {
      const unreleased = batches.find(({ batch }) => !batch.released);
      const released = batches.filter(({ batch }) => batch.released);
      snapshots.push({
        producerId,
        epoch,
        nextSequence: unreleased?.baseSequence ?? nextSequence,
        batches: released.map(({ baseSequence, batch: { recordCount, reply } }) => ({
          baseSequence,
          recordCount,
          ...reply,
        })),
      });
    }
    return snapshots;
  }
}

function settled(batch: AppendReply & { readonly recordCount: number }): KnownBatch {
  const { recordCount, epoch, baseOffset, appendTimeMs } = batch;
  return { recordCount, released: true, reply: { epoch, baseOffset: baseOffset as Offset, appendTimeMs }, replyTo: [] };
}
