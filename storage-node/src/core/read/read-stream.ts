/**
 * Answers one read request: the batches of which this node is the designated reader, in messages, until the range or
 * the credit ends. The node keeps nothing between requests, and lets the event loop run between messages, so that
 * stores are not delayed by readers.
 */
import {
  type BatchLocation,
  type Clock,
  type CopysetTable,
  encodeReadMessage,
  encodeResult,
  LIMITS,
  type Offset,
  PyralogError,
  READ_MESSAGE_PREFIX_BYTES,
  type ReadEnd,
  type ReadRequest,
  type StorageNodeId,
  type Transport,
} from '@pyralog/shared/core';
import type { BatchDirectory } from '../batch-directory.ts';
import type { Counters } from '../counters.ts';
import type { PartitionGates } from '../partition-gates.ts';
import type { FetchedBatch, FrameReader } from './frame-reader.ts';

/** Batches looked up at a time. */
const LOOKUP_BATCHES = 256;

export interface ReadStreamOptions {
  readonly nodeId: StorageNodeId;
  readonly directory: BatchDirectory;
  readonly gates: PartitionGates;
  readonly frames: FrameReader;
  readonly transport: Transport;
  readonly counters: Counters;
  readonly clock: Clock;
}

export class ReadStream {
  readonly #options: ReadStreamOptions;
  readonly #request: ReadRequest;
  readonly #table: CopysetTable;
  readonly #replyTo: string;
  readonly #isClosing: () => boolean;
  readonly #excluded: ReadonlySet<string>;
  readonly #messageBytesMax: number;
  /** Frames of the message that is being filled. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #sequence = 0;
  #sentBytes = 0;

  constructor(
    options: ReadStreamOptions,
    request: ReadRequest,
    table: CopysetTable,
    replyTo: string,
    isClosing: () => boolean,
  ) {
    this.#options = options;
    this.#request = request;
    this.#table = table;
    this.#replyTo = replyTo;
    this.#isClosing = isClosing;
    this.#excluded = new Set(request.exclude);
    this.#messageBytesMax =
      Math.min(LIMITS.readMessageBytesMax, options.transport.payloadBytesMax) - READ_MESSAGE_PREFIX_BYTES;
  }

  /** Messages published so far. */
  get sequence(): number {
    return this.#sequence;
  }

  /** @throws PyralogError what ended the stream early; the caller tells the reader. */
  async run(): Promise<void> {
    const { gates } = this.#options;
    const { partitionId } = this.#request;
    const next = await this.#sendRange();
    await this.#publishFrames();
    const end: ReadEnd = { next, releasedOffset: gates.get(partitionId)?.releasedOffset ?? (0 as Offset) };
    this.#publish('end', [encodeResult(end)]);
  }

  /** Sends what is designated to this node; returns where the reader goes on. */
  async #sendRange(): Promise<Offset> {
    const { directory, clock } = this.#options;
    const { partitionId, epoch, until } = this.#request;
    let from: number = this.#request.from;
    while (from < until) {
      const found = directory.range({ partitionId, epoch, from: from as Offset, until, limit: LOOKUP_BATCHES });
      const stopped = await this.#sendDesignated(found.filter((location) => this.#isDesignated(location)));
      if (stopped !== undefined) return stopped.baseOffset;
      const last = found.at(-1);
      if (last === undefined || found.length < LOOKUP_BATCHES) break;
      from = last.baseOffset + last.recordCount;
      await new Promise<void>((resolve) => clock.defer(resolve));
    }
    return until;
  }

  #isDesignated(location: BatchLocation): boolean {
    return (
      this.#table.designatedReader(location.partitionId, location.baseOffset, this.#excluded) === this.#options.nodeId
    );
  }

  /** Sends these batches; returns the first one for which the credit did not suffice, if there is one. */
  async #sendDesignated(locations: readonly BatchLocation[]): Promise<BatchLocation | undefined> {
    let index = 0;
    while (index < locations.length) {
      if (this.#isClosing()) throw new PyralogError({ code: 'unavailable', message: 'node is stopping' });
      const { batches, next } = await this.#options.frames.fetch(locations, index);
      for (const batch of batches) {
        if (this.#sentBytes >= this.#request.credit) return batch.location;
        await this.#add(batch);
      }
      index = next;
    }
    return undefined;
  }

  async #add({ frame, location }: FetchedBatch): Promise<void> {
    if (frame.byteLength > this.#options.transport.payloadBytesMax - READ_MESSAGE_PREFIX_BYTES) {
      throw new PyralogError({
        code: 'invalid',
        message: 'batch does not fit the payload that the server takes',
        fields: {
          field: 'payload',
          offset: location.baseOffset,
          size: frame.byteLength,
          limit: this.#options.transport.payloadBytesMax,
        },
      });
    }
    if (this.#partBytes > 0 && this.#partBytes + frame.byteLength > this.#messageBytesMax) await this.#publishFrames();
    this.#parts.push(frame);
    this.#partBytes += frame.byteLength;
    this.#sentBytes += frame.byteLength;
    this.#options.counters.readBatches++;
    this.#options.counters.readBytes += frame.byteLength;
  }

  async #publishFrames(): Promise<void> {
    if (this.#parts.length === 0) return;
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    this.#publish('frames', parts);
    await new Promise<void>((resolve) => this.#options.clock.defer(resolve));
  }

  #publish(kind: 'frames' | 'end', parts: readonly Uint8Array[]): void {
    this.#options.transport.publish(this.#replyTo, encodeReadMessage(kind, this.#sequence, parts));
    this.#sequence++;
  }
}
