/**
 * One partition under one epoch: admission, stamping, acknowledgements, release. The hot path.
 *
 * Invariants. Offsets are given out without gaps from the fragment's start. A batch is released only when it and every
 * batch before it has W copies; clients are answered in offset order, at release, and never before. Once the partition
 * has stopped (closed, fenced), nothing is stamped, released or answered with success any more.
 */
import {
  assert,
  type Clock,
  CopysetTable,
  type Crc32,
  checkClientFrame,
  DEFAULTS,
  detached,
  type Epoch,
  encodeAppendReply,
  encodeFailure,
  type Fragment,
  type FrameHeader,
  frameBody,
  type Incarnation,
  invalid,
  LIMITS,
  type Message,
  type Offset,
  type PartitionId,
  type PartitionRecord,
  type PartitionStatus,
  type ProducerSnapshot,
  PyralogError,
  type SequencerId,
  type StorageNodeId,
  type StoreAck,
  type Subjects,
  scanBody,
  stampFrame,
  type Transport,
  unreachable,
} from '@pyralog/shared/core';
import { PendingBatch } from './pending-batch.ts';
import { type KnownBatch, Producers } from './producers.ts';
import type { Window } from './window.ts';

/** What a serving partition needs of its surroundings. */
export interface ServingPorts {
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly window: Window;
  /** The released offset moved and no store message has carried it yet. */
  readonly onReleased: (partition: ServingPartition) => void;
  /** A storage node has seen a newer epoch, or another nonce of this one. */
  readonly onFenced: (partition: ServingPartition, sealedEpoch: Epoch) => void;
}

export type ServingState = 'serving' | 'draining' | 'stopped';

export class ServingPartition {
  readonly partitionId: PartitionId;
  readonly namespace: string;
  readonly fragment: Fragment;
  readonly sequencerId: SequencerId;
  readonly appendSubject: string;
  readonly releaseSubject: string;
  state: ServingState = 'serving';
  /** The released offset that the last store message carried. */
  announcedOffset: Offset;
  /** Admitted since the last snapshot of the producers. */
  batchesSinceSnapshot = 0;
  /** When it was taken, monotonic milliseconds. */
  snapshotAtMs: number;

  readonly #ports: ServingPorts;
  readonly #table: CopysetTable;
  readonly #slotOf: ReadonlyMap<string, number>;
  /** Store subject by row of the copyset table, made at first use. */
  readonly #storeSubjects = new Map<readonly number[], string>();
  readonly #ackSubject: string;
  readonly #producers = new Producers();
  /** Unreleased batches in offset order, from `#head`. */
  #queue: PendingBatch[] = [];
  #head = 0;
  /** Every batch that is not settled, by base offset, ascending. */
  readonly #batches = new Map<number, PendingBatch>();
  #nextOffset: Offset;
  #releasedOffset: Offset;
  #unreleasedBytes = 0;
  #lastAppendTimeMs: number;
  #onDrained: (() => void) | undefined;

  constructor(options: {
    partitionId: PartitionId;
    namespace: string;
    fragment: Fragment;
    sequencerId: SequencerId;
    /** The record that opened the fragment. */
    record: PartitionRecord;
    ports: ServingPorts;
  }) {
    const { partitionId, namespace, fragment, sequencerId, record, ports } = options;
    this.partitionId = partitionId;
    this.namespace = namespace;
    this.fragment = fragment;
    this.sequencerId = sequencerId;
    this.#ports = ports;
    this.#table = new CopysetTable(fragment);
    this.#slotOf = new Map(fragment.slots.map((slot, index) => [slot.nodeId, index]));
    this.appendSubject = ports.subjects.append(namespace, sequencerId, partitionId);
    this.releaseSubject = ports.subjects.release(namespace, partitionId);
    this.#ackSubject = ports.subjects.acks(sequencerId);
    this.#nextOffset = fragment.start;
    this.#releasedOffset = fragment.start;
    this.announcedOffset = fragment.start;
    this.#lastAppendTimeMs = record.lastAppendTimeMs;
    this.snapshotAtMs = ports.clock.monotonicMs();
    this.#producers.restore(record.producers, []);
  }

  get epoch(): Epoch {
    return this.fragment.epoch;
  }

  get releasedOffset(): Offset {
    return this.#releasedOffset;
  }

  get lastAppendTimeMs(): number {
    return this.#lastAppendTimeMs;
  }

  snapshotTaken(): void {
    this.batchesSinceSnapshot = this.#queue.length - this.#head;
    this.snapshotAtMs = this.#ports.clock.monotonicMs();
  }

  /** What is known of the producers at `releasedOffset`. */
  producerSnapshot(): ProducerSnapshot[] {
    return this.#producers.snapshot();
  }

  get status(): PartitionStatus {
    return {
      partitionId: this.partitionId,
      epoch: this.epoch,
      nonce: this.fragment.nonce,
      releasedOffset: this.#releasedOffset,
      nextOffset: this.#nextOffset,
      windowBytes: this.#unreleasedBytes,
    };
  }

  /** Takes a client's append. Answers failures at once and success at release. */
  append(message: Message): void {
    try {
      if (this.state !== 'serving') throw this.#notServing();
      this.#admit(message);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      if (message.replyTo !== undefined) this.#ports.transport.publish(message.replyTo, encodeFailure(error));
    }
  }

  #notServing(): PyralogError {
    return new PyralogError({
      code: 'not-sequencer',
      message: 'this sequencer does not take appends for the partition',
      fields: { partitionId: this.partitionId, sequencerId: this.sequencerId },
    });
  }

  #admit(message: Message): void {
    const header = checkAppend(message.payload, this.#ports.crc32);
    const earlier = this.#producers.check(header);
    if (earlier !== undefined) {
      this.#answerRepeat(earlier, message.replyTo);
      return;
    }
    const bytes = message.payload.byteLength;
    this.#checkRoom(bytes);
    const { clock, window } = this.#ports;
    const frame = detached(message.payload);
    const baseOffset = this.#nextOffset;
    if (baseOffset + header.recordCount > Number.MAX_SAFE_INTEGER) throw invalid('offset', 'partition is full');
    this.#lastAppendTimeMs = Math.max(this.#lastAppendTimeMs, clock.wallMs());
    stampFrame(
      frame,
      {
        partitionId: this.partitionId,
        epoch: this.epoch,
        nonce: this.fragment.nonce,
        baseOffset,
        appendTimeMs: this.#lastAppendTimeMs,
        releasedOffset: this.#releasedOffset,
        durability: this.fragment.durability,
      },
      this.#ports.crc32,
    );
    const batch = new PendingBatch({
      partition: this,
      baseOffset,
      recordCount: header.recordCount,
      appendTimeMs: this.#lastAppendTimeMs,
      frame,
      copyset: this.#table.copyset(this.partitionId, baseOffset),
      replyTo: message.replyTo,
      sentAtMs: clock.monotonicMs(),
      resendAfterMs: DEFAULTS.resendAfterMs,
    });
    this.#nextOffset = batch.endOffset;
    this.#unreleasedBytes += bytes;
    window.admit(bytes, header.recordCount);
    this.#queue.push(batch);
    this.#batches.set(baseOffset, batch);
    this.#producers.admitted(header, batch);
    this.batchesSinceSnapshot++;
    this.announcedOffset = this.#releasedOffset;
    this.#ports.transport.publish(this.#storeSubject(batch), frame, this.#ackSubject);
  }

  #answerRepeat(earlier: KnownBatch, replyTo: string | undefined): void {
    if (replyTo === undefined) return;
    if (earlier.released) this.#ports.transport.publish(replyTo, encodeAppendReply(earlier.reply));
    else if (earlier.replyTo.length < REPEATS_ANSWERED_MAX) earlier.replyTo.push(replyTo);
  }

  /** @throws PyralogError `overloaded` naming the bound that is reached. */
  #checkRoom(bytes: number): void {
    const { limits } = this.#ports.window;
    if (this.#queue.length - this.#head >= limits.partitionBatchesMax) {
      throw overloaded('window of the partition holds too many batches', limits.partitionBatchesMax);
    }
    if (this.#unreleasedBytes + bytes > limits.partitionBytesMax) {
      throw overloaded('window of the partition is full', limits.partitionBytesMax);
    }
    if (!this.#ports.window.hasRoom(bytes)) throw overloaded('window of the sequencer is full', limits.bytesMax);
  }

  #storeSubject(batch: PendingBatch): string {
    let subject = this.#storeSubjects.get(batch.copyset);
    if (subject === undefined) {
      subject = this.#ports.subjects.store(this.namespace, this.partitionId, this.#table.nodeIds(batch.copyset));
      this.#storeSubjects.set(batch.copyset, subject);
    }
    return subject;
  }

  /** Takes a storage node's answer. */
  acknowledged(nodeId: StorageNodeId, incarnation: Incarnation, ack: StoreAck): void {
    if (this.state === 'stopped' || ack.epoch !== this.epoch || ack.nonce !== this.fragment.nonce) return;
    switch (ack.verdict) {
      case 'stored':
        this.#stored(nodeId, incarnation, ack.baseOffset);
        return;
      case 'fenced':
        this.#ports.onFenced(this, ack.sealedEpoch);
        return;
      case 'read-only':
        return;
      default:
        unreachable(ack.verdict);
    }
  }

  #stored(nodeId: StorageNodeId, incarnation: Incarnation, baseOffset: Offset): void {
    const batch = this.#batches.get(baseOffset);
    const slot = this.#slotOf.get(nodeId);
    if (batch === undefined || slot === undefined) return;
    // A node that came back on an empty disk has forgotten what it sealed: its copies do not count in this epoch.
    if (this.fragment.slots[slot]?.incarnation !== incarnation) return;
    const member = batch.copyset.indexOf(slot);
    if (member < 0) return;
    batch.acknowledge(member);
    if (batch.released) {
      if (batch.complete) this.#settleLate(batch);
    } else if (batch.copies >= this.fragment.writeQuorum && batch === this.#queue[this.#head]) {
      this.#release();
    }
  }

  /** Releases the contiguous prefix that has W copies, and answers its clients in offset order. */
  #release(): void {
    const { transport, window, onReleased } = this.#ports;
    for (;;) {
      const batch = this.#queue[this.#head];
      if (batch === undefined || batch.copies < this.fragment.writeQuorum) break;
      this.#head++;
      batch.released = true;
      const bytes = batch.frame.byteLength;
      this.#unreleasedBytes -= bytes;
      this.#releasedOffset = batch.endOffset;
      const reply = encodeAppendReply(batch.reply);
      for (const subject of batch.replyTo) transport.publish(subject, reply);
      batch.replyTo.length = 0;
      if (batch.complete) {
        window.leave(bytes);
        this.#settle(batch);
      } else {
        window.becomeLate(batch);
      }
    }
    this.#compact();
    onReleased(this);
    if (this.#onDrained !== undefined && this.#head === this.#queue.length) this.#onDrained();
  }

  #compact(): void {
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  #settleLate(batch: PendingBatch): void {
    this.#ports.window.leaveLate(batch);
    this.#settle(batch);
  }

  #settle(batch: PendingBatch): void {
    this.#batches.delete(batch.baseOffset);
    batch.settle();
  }

  /** Waits no longer for the copies that a released batch lacks. */
  giveUp(batch: PendingBatch): void {
    assert(batch.released && !batch.settled, 'only a late batch can be given up on');
    this.#settleLate(batch);
  }

  /** Batches that some member lacks, oldest first. */
  outstanding(): IterableIterator<PendingBatch> {
    return this.#batches.values();
  }

  memberIds(batch: PendingBatch): StorageNodeId[] {
    return this.#table.nodeIds(batch.copyset);
  }

  /**
   * Takes no more appends; resolves when everything admitted is released. Never resolves after `stop`.
   */
  drain(): Promise<void> {
    if (this.state === 'serving') this.state = 'draining';
    if (this.#head === this.#queue.length) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /**
   * Ends this reign. Unreleased appends are answered with `fenced`, outcome `unknown`; late copies are given up on.
   */
  stop(): void {
    if (this.state === 'stopped') return;
    this.state = 'stopped';
    this.#onDrained = undefined;
    const failure = encodeFailure(
      new PyralogError({
        code: 'fenced',
        message: 'the epoch ended before the append was acknowledged',
        outcome: 'unknown',
        fields: { partitionId: this.partitionId, epoch: this.epoch },
      }),
    );
    for (const batch of this.#batches.values()) {
      for (const subject of batch.replyTo) this.#ports.transport.publish(subject, failure);
      if (batch.released) this.#ports.window.leaveLate(batch);
      else this.#ports.window.leave(batch.frame.byteLength);
      batch.settle();
    }
    this.#batches.clear();
    this.#queue.length = 0;
    this.#head = 0;
    this.#unreleasedBytes = 0;
  }
}

/** Subjects that one batch is answered to: its own and those of its repeats. */
const REPEATS_ANSWERED_MAX = 16;

/**
 * Checks a client's frame and body.
 * @throws PyralogError `corrupt` (retry `same` when it was damaged on the way), `invalid`.
 */
function checkAppend(payload: Uint8Array, crc32: Crc32): FrameHeader {
  if (payload.byteLength > LIMITS.frameBytesMax) {
    throw invalid('batch', 'batch is too large', { size: payload.byteLength, limit: LIMITS.frameBytesMax });
  }
  const header = checkClientFrame(payload, crc32);
  if (header.kind !== 'batch') throw invalid('kind', 'frame is not a batch');
  scanBody(frameBody(payload, header), header.recordCount);
  return header;
}

function overloaded(message: string, limit: number): PyralogError {
  return new PyralogError({ code: 'overloaded', message, fields: { limit } });
}
