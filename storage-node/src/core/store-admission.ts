/**
 * What happens to a store when it arrives: it is verified, checked against its partition's gate and against what is
 * stored already, and queued for the writer or answered at once.
 *
 * A batch that the node holds is acknowledged again and never written twice. A batch that still waits for its commit is
 * acknowledged by that commit. Batches of an activation arrive in rising order but for resends, so whatever begins at or
 * past the furthest end seen is new, and only the others are looked up.
 */
import {
  type Crc32,
  checkFrame,
  describeError,
  endOffset,
  type FrameHeader,
  LIMITS,
  type Message,
} from '@pyralog/shared/core';
import type { Acknowledgements } from './acknowledgements.ts';
import type { BatchDirectory } from './batch-directory.ts';
import type { Counters } from './counters.ts';
import type { DiskSpace } from './disk-space.ts';
import { type PartitionGate, type PartitionGates, UNKNOWN_END } from './partition-gates.ts';
import type { RateLimitedWarnings } from './rate-limited-warnings.ts';
import type { SegmentWriter } from './segment-writer.ts';

export interface StoreAdmissionOptions {
  readonly gates: PartitionGates;
  readonly directory: BatchDirectory;
  readonly writer: SegmentWriter;
  readonly space: DiskSpace;
  readonly acknowledgements: Acknowledgements;
  readonly counters: Counters;
  readonly warnings: RateLimitedWarnings;
  readonly crc32: Crc32;
  /** Acknowledgements go to subjects that begin with this, and nowhere else. */
  readonly acksPrefix: string;
}

/** What the node already has of a batch that is being stored. */
type Presence = 'new' | 'waiting' | 'stored' | 'conflicting';

export class StoreAdmission {
  readonly #options: StoreAdmissionOptions;

  constructor(options: StoreAdmissionOptions) {
    this.#options = options;
  }

  /** Takes a store or a resend. Never throws: what is wrong is dropped and counted. */
  receive(message: Message): void {
    const { gates, space, writer, acknowledgements, acksPrefix } = this.#options;
    const header = this.#verify(message.payload);
    if (header === undefined) return;
    const replyTo = message.replyTo?.startsWith(acksPrefix) === true ? message.replyTo : undefined;
    const gate = gates.get(header.partitionId);
    if (gate !== undefined) {
      if (gate.refuses(header)) {
        this.#options.counters.fencedBatches++;
        acknowledgements.add(replyTo, header, 'fenced', gate.epoch);
        acknowledgements.flushSoon();
        return;
      }
      if (header.epoch === gate.epoch && !this.#isNew(gate, header, replyTo)) return;
    }
    if (space.state === 'read-only') {
      this.#options.counters.readOnlyBatches++;
      acknowledgements.add(replyTo, header, 'read-only');
      acknowledgements.flushSoon();
      return;
    }
    if (writer.queuedBytes + header.frameLength > LIMITS.storeQueueBytesMax) {
      this.#options.counters.overflowedBatches++;
      this.#options.warnings.warn('store queue is full: batches are dropped and will be sent again', {
        queuedBytes: writer.queuedBytes,
        limit: LIMITS.storeQueueBytesMax,
      });
      return;
    }
    this.#admit(gate ?? gates.open(header.partitionId), message.payload, header, replyTo);
  }

  #verify(payload: Uint8Array): FrameHeader | undefined {
    let problem = 'message is not one batch';
    try {
      const header = checkFrame(payload, this.#options.crc32);
      if (header.kind === 'batch' && header.frameLength === payload.byteLength && header.epoch > 0) return header;
    } catch (reason) {
      problem = describeError(reason);
    }
    this.#options.counters.malformedFrames++;
    this.#options.warnings.warn('store is not well formed and was dropped', { problem, length: payload.byteLength });
    return undefined;
  }

  /** Whether the batch has to be written; answers it when not. */
  #isNew(gate: PartitionGate, header: FrameHeader, replyTo: string | undefined): boolean {
    const presence = this.#presence(gate, header);
    if (presence === 'new') return true;
    const { counters, warnings, acknowledgements } = this.#options;
    if (presence === 'conflicting') {
      const { partitionId, epoch, baseOffset } = header;
      counters.conflictingBatches++;
      warnings.warn('store overlaps a different batch and was dropped', { partitionId, epoch, baseOffset });
      return false;
    }
    counters.duplicateBatches++;
    if (presence === 'stored' || header.durability === 'memory') {
      acknowledgements.add(replyTo, header, 'stored');
      acknowledgements.flushSoon();
    }
    return false;
  }

  #presence(gate: PartitionGate, header: FrameHeader): Presence {
    const { directory } = this.#options;
    if (gate.highestEnd === UNKNOWN_END) gate.highestEnd = directory.endOf(gate.partitionId, gate.epoch);
    if (header.baseOffset >= gate.highestEnd) return 'new';
    const { partitionId, epoch, baseOffset, recordCount, frameLength } = header;
    const waiting = gate.pending.get(baseOffset)?.header;
    if (waiting !== undefined) {
      return waiting.recordCount === recordCount && waiting.frameLength === frameLength ? 'waiting' : 'conflicting';
    }
    const [stored] = directory.range({ partitionId, epoch, from: baseOffset, until: endOffset(header), limit: 1 });
    if (stored === undefined) return 'new';
    const same =
      stored.baseOffset === baseOffset && stored.recordCount === recordCount && stored.length === frameLength;
    return same ? 'stored' : 'conflicting';
  }

  #admit(gate: PartitionGate, frame: Uint8Array, header: FrameHeader, replyTo: string | undefined): void {
    const { writer, acknowledgements } = this.#options;
    gate.pass(header);
    gate.highestEnd = Math.max(gate.highestEnd, endOffset(header));
    const acknowledged = header.durability === 'memory';
    writer.enqueue({ frame, header, gate, replyTo, acknowledged, ballot: header.epoch, settled: undefined });
    if (acknowledged) {
      acknowledgements.add(replyTo, header, 'stored');
      acknowledgements.flushSoon();
    }
  }
}
