/** Serves a recovery: gives out batches of a tail, and takes back those that too few nodes have. */
import {
  type Crc32,
  checkFrame,
  decodeMessage,
  decodeWriteBack,
  describeError,
  type Epoch,
  encodeFailure,
  encodeStoreAcks,
  type FrameHeader,
  fetchRequestSchema,
  type Incarnation,
  LIMITS,
  type Message,
  PyralogError,
  type StorageNodeId,
  type StoreVerdict,
  type Transport,
} from '@pyralog/shared/core';
import type { BatchDirectory } from '../batch-directory.ts';
import type { PartitionGates } from '../partition-gates.ts';
import type { RateLimitedWarnings } from '../rate-limited-warnings.ts';
import type { FrameReader } from '../read/frame-reader.ts';
import type { SegmentWriter } from '../segment-writer.ts';

export interface TailRepairOptions {
  readonly nodeId: StorageNodeId;
  readonly incarnation: Incarnation;
  readonly gates: PartitionGates;
  readonly directory: BatchDirectory;
  readonly writer: SegmentWriter;
  readonly frames: FrameReader;
  readonly transport: Transport;
  readonly crc32: Crc32;
  readonly warnings: RateLimitedWarnings;
}

export class TailRepair {
  readonly #options: TailRepairOptions;

  constructor(options: TailRepairOptions) {
    this.#options = options;
  }

  /** Answers a fetch with the frame. */
  fetch(message: Message): void {
    const { replyTo } = message;
    if (replyTo !== undefined) void this.#answerFetch(message.payload, replyTo);
  }

  async #answerFetch(payload: Uint8Array, replyTo: string): Promise<void> {
    let reply: Uint8Array;
    try {
      reply = await this.#find(payload);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      reply = encodeFailure(error);
    }
    this.#options.transport.publish(replyTo, reply);
  }

  async #find(payload: Uint8Array): Promise<Uint8Array> {
    const { partitionId, epoch, baseOffset } = decodeMessage(fetchRequestSchema, payload);
    const location = this.#options.directory.find(partitionId, epoch, baseOffset);
    const found = location === undefined ? undefined : await this.#options.frames.fetch([location], 0);
    const frame = found?.batches[0]?.frame;
    if (frame !== undefined && location?.baseOffset === baseOffset) return frame;
    throw new PyralogError({
      code: 'unavailable',
      message: 'batch is not stored here',
      fields: { partitionId, epoch, baseOffset },
    });
  }

  /** Takes a batch back under the recovery's ballot, and answers once it is durable. */
  writeBack(message: Message): void {
    const { replyTo } = message;
    if (replyTo === undefined) return;
    try {
      this.#write(message.payload, replyTo);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      this.#options.warnings.warn('write-back is not well formed and was dropped', { problem: describeError(error) });
    }
  }

  #write(payload: Uint8Array, replyTo: string): void {
    const { gates, directory, writer, crc32 } = this.#options;
    const { ballot, frame } = decodeWriteBack(payload);
    const header = checkFrame(frame, crc32);
    if (header.kind !== 'batch' || header.frameLength !== frame.byteLength || ballot <= header.epoch) {
      throw new PyralogError({ code: 'corrupt', message: 'write-back is not one batch below its ballot' });
    }
    const gate = gates.open(header.partitionId);
    if (gate.refuses(header, ballot)) {
      this.#reply(replyTo, header, 'fenced', gate.epoch);
      return;
    }
    const stored = directory.find(header.partitionId, header.epoch, header.baseOffset);
    if (stored?.baseOffset === header.baseOffset && stored.length === header.frameLength) {
      this.#reply(replyTo, header, 'stored');
      return;
    }
    if (writer.queuedBytes + header.frameLength > LIMITS.storeQueueBytesMax) return;
    const settled = (verdict: StoreVerdict): void => this.#reply(replyTo, header, verdict, gate.epoch);
    writer.enqueue({ frame, header, gate, replyTo: undefined, acknowledged: false, ballot, settled });
  }

  #reply(replyTo: string, header: FrameHeader, verdict: StoreVerdict, seen: Epoch = 0 as Epoch): void {
    const { partitionId, epoch, nonce, baseOffset } = header;
    const sealedEpoch = verdict === 'fenced' ? seen : (0 as Epoch);
    const ack = { partitionId, epoch, nonce, baseOffset, verdict, sealedEpoch };
    const { nodeId, incarnation, transport } = this.#options;
    transport.publish(replyTo, encodeStoreAcks({ nodeId, incarnation, acks: [ack] }));
  }
}
