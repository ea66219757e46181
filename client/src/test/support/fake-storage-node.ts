/** The protocol of a storage node, without a disk: stores, acknowledges, serves reads. It can be made to lose and damage. */
import {
  CopysetTable,
  checkFrame,
  crc32,
  decodeMessage,
  encodeFailure,
  encodeReadMessage,
  encodeResult,
  encodeStoreAcks,
  endOffset,
  type FrameHeader,
  type Incarnation,
  LIMITS,
  type Message,
  type Offset,
  type PyralogError,
  type ReadRequest,
  readRequestSchema,
  type StorageNodeId,
  type StoreAck,
  type Subjects,
} from '@pyralog/shared/core';
import type { InProcessNetwork, InProcessTransport } from './in-process-network.ts';

interface Stored {
  readonly header: FrameHeader;
  frame: Uint8Array;
}

export class FakeStorageNode {
  readonly nodeId: StorageNodeId;
  readonly transport: InProcessTransport;
  /** Refuses a read. */
  refuseRead: (request: ReadRequest) => PyralogError | undefined = () => undefined;
  /** Bytes of a message of a read's stream. */
  messageBytesMax = 64 * 1024;
  readsServed = 0;
  bytesServed = 0;
  readonly #batches = new Map<string, Stored[]>();
  readonly #released = new Map<number, number>();
  readonly #tables = new Map<string, CopysetTable>();

  constructor(network: InProcessNetwork, subjects: Subjects, nodeId: string) {
    this.nodeId = nodeId as StorageNodeId;
    this.transport = network.connect(nodeId);
    for (const subject of subjects.storesTo(this.nodeId, LIMITS.replicationFactorMax)) {
      this.transport.subscribe(subject, (message) => this.#store(message));
    }
    this.transport.subscribe(subjects.resend(this.nodeId), (message) => this.#store(message));
    this.transport.subscribe(subjects.readsTo(this.nodeId), (message) => this.#read(message));
  }

  /** As if it had been told by frames. */
  releasedSeen(partitionId: number, offset: number): void {
    this.#released.set(partitionId, Math.max(offset, this.#released.get(partitionId) ?? 0));
  }

  has(partitionId: number, epoch: number, baseOffset: number): boolean {
    return this.#of(partitionId, epoch).some((stored) => stored.header.baseOffset === baseOffset);
  }

  lose(partitionId: number, epoch: number, baseOffset: number): void {
    const batches = this.#of(partitionId, epoch);
    const index = batches.findIndex((stored) => stored.header.baseOffset === baseOffset);
    if (index >= 0) batches.splice(index, 1);
  }

  /** Flips a bit of the stored copy. */
  damage(partitionId: number, epoch: number, baseOffset: number, byte: number): void {
    const stored = this.#of(partitionId, epoch).find((one) => one.header.baseOffset === baseOffset);
    if (stored === undefined) return;
    const frame = stored.frame.slice();
    frame[byte % frame.byteLength] = (frame[byte % frame.byteLength] ?? 0) ^ 1;
    stored.frame = frame;
  }

  put(frame: Uint8Array): StoreAck {
    const header = checkFrame(frame, crc32);
    const { partitionId, epoch, nonce, baseOffset } = header;
    const batches = this.#of(partitionId, epoch);
    this.releasedSeen(partitionId, header.releasedOffset);
    if (!batches.some((stored) => stored.header.baseOffset === baseOffset)) {
      batches.push({ header, frame });
      batches.sort((a, b) => a.header.baseOffset - b.header.baseOffset);
    }
    return { partitionId, epoch, nonce, baseOffset, verdict: 'stored', sealedEpoch: 0 as StoreAck['epoch'] };
  }

  #of(partitionId: number, epoch: number): Stored[] {
    const key = `${partitionId}/${epoch}`;
    let batches = this.#batches.get(key);
    if (batches === undefined) {
      batches = [];
      this.#batches.set(key, batches);
    }
    return batches;
  }

  #store(message: Message): void {
    const ack = this.put(message.payload);
    if (message.replyTo !== undefined)
      this.transport.publish(
        message.replyTo,
        encodeStoreAcks({ nodeId: this.nodeId, incarnation: '0123456789abcdef' as Incarnation, acks: [ack] }),
      );
  }

  #read(message: Message): void {
    const { replyTo } = message;
    if (replyTo === undefined) return;
    this.readsServed++;
    const request = decodeMessage(readRequestSchema, message.payload);
    let sequence = 0;
    const publish = (kind: 'frames' | 'end', parts: Uint8Array[]): void => {
      this.transport.publish(replyTo, encodeReadMessage(kind, sequence++, parts));
    };
    const refusal = this.refuseRead(request);
    if (refusal !== undefined) {
      publish('end', [encodeFailure(refusal)]);
      return;
    }
    const table = this.#table(request);
    const excluded = new Set<string>(request.exclude);
    let parts: Uint8Array[] = [];
    let partBytes = 0;
    let sentBytes = 0;
    let next = request.until;
    for (const { header, frame } of this.#of(request.partitionId, request.epoch)) {
      if (endOffset(header) <= request.from || header.baseOffset >= request.until) continue;
      if (table.designatedReader(request.partitionId, header.baseOffset, excluded) !== this.nodeId) continue;
      if (sentBytes >= request.credit) {
        next = header.baseOffset;
        break;
      }
      if (partBytes > 0 && partBytes + frame.byteLength > this.messageBytesMax) {
        publish('frames', parts);
        parts = [];
        partBytes = 0;
      }
      parts.push(frame);
      partBytes += frame.byteLength;
      sentBytes += frame.byteLength;
    }
    this.bytesServed += sentBytes;
    if (parts.length > 0) publish('frames', parts);
    publish('end', [encodeResult({ next, releasedOffset: (this.#released.get(request.partitionId) ?? 0) as Offset })]);
  }

  #table(request: ReadRequest): CopysetTable {
    const key = JSON.stringify(request.placement);
    const table = this.#tables.get(key) ?? new CopysetTable(request.placement);
    this.#tables.set(key, table);
    return table;
  }
}
