/**
 * The protocol of a sequencer, for one log: admits, stamps in place, replicates, releases in order, answers; topology and
 * status requests. It follows the rules for producer sequences that the client relies on.
 */
import {
  type ClientHeader,
  CopysetTable,
  checkClientFrame,
  crc32,
  decodeMessage,
  decodeStoreAcks,
  type Epoch,
  encodeAppendReply,
  encodeFailure,
  encodeRelease,
  encodeResult,
  type Fragment,
  frameBody,
  LIMITS,
  type Message,
  type Offset,
  type PartitionId,
  PyralogError,
  partitionStatusRequestSchema,
  SEQUENCER_QUEUE,
  type SequencerId,
  type StorageNodeId,
  type Subjects,
  scanBody,
  stampFrame,
  subjectToken,
} from '@pyralog/shared/core';
import type { InProcessNetwork, InProcessTransport } from './in-process-network.ts';

interface Pending {
  readonly epoch: Epoch;
  readonly baseOffset: Offset;
  readonly end: Offset;
  readonly frame: Uint8Array;
  readonly nodeIds: readonly StorageNodeId[];
  readonly stored: Set<string>;
  readonly replyTo: string[];
  readonly appendTimeMs: number;
  isReleased: boolean;
}

interface ProducerState {
  epoch: number;
  nextSequence: number;
  readonly batches: { readonly baseSequence: number; readonly recordCount: number; readonly pending: Pending }[];
}

export interface Serving {
  readonly partitionId: PartitionId;
  readonly fragment: Fragment;
  readonly table: CopysetTable;
  nextOffset: number;
  releasedOffset: number;
  readonly pending: Pending[];
  readonly producers: Map<bigint, ProducerState>;
}

export class FakeSequencer {
  readonly id: SequencerId;
  readonly transport: InProcessTransport;
  readonly serving = new Map<PartitionId, Serving>();
  /** Answers requests on `admin.<namespace>` and `cluster`. */
  administer: (request: unknown) => unknown = () => ({});
  /** Refuses an append before anything else. */
  refuseAppend: (partitionId: PartitionId, header: ClientHeader) => PyralogError | undefined = () => undefined;
  publishesReleases = true;
  /** Frames taken, in order: what a client sent, as it came. */
  appendsSeen = 0;
  readonly #network: InProcessNetwork;
  readonly #subjects: Subjects;
  readonly #namespace: string;

  constructor(network: InProcessNetwork, subjects: Subjects, options: { id: string; namespace: string }) {
    this.id = options.id as SequencerId;
    this.#network = network;
    this.#subjects = subjects;
    this.#namespace = options.namespace;
    this.transport = network.connect(options.id);
    const { transport } = this;
    transport.subscribe(subjects.appendsTo(this.id), (message) => this.#append(message));
    transport.subscribe(subjects.acks(this.id), (message) => this.#acknowledged(message));
    transport.subscribe(subjects.partitionsOf(this.id), (message) =>
      this.#answer(message, () => this.#statuses(message)),
    );
    const administer = (message: Message): void =>
      this.#answer(message, () => this.administer(JSON.parse(new TextDecoder().decode(message.payload))));
    transport.subscribe(subjects.admins, administer, { queue: SEQUENCER_QUEUE });
    transport.subscribe(subjects.cluster, administer, { queue: SEQUENCER_QUEUE });
  }

  /** @param before what the last owner knew: what it released of its producers' batches is remembered. */
  serve(partitionId: PartitionId, fragment: Fragment, before?: Serving): void {
    this.serving.set(partitionId, {
      partitionId,
      fragment,
      table: new CopysetTable(fragment),
      nextOffset: fragment.start,
      releasedOffset: fragment.start,
      pending: [],
      producers: new Map(),
    });
    for (const [producerId, producer] of before?.producers ?? []) {
      const released = producer.batches.filter(({ pending }) => pending.isReleased);
      const last = released.at(-1);
      if (last === undefined) continue;
      const nextSequence = (last.baseSequence + last.recordCount) >>> 0;
      this.serving
        .get(partitionId)
        ?.producers.set(producerId, { epoch: producer.epoch, nextSequence, batches: released });
    }
  }

  /** Stops serving. What was not released is never answered with success. @param answers whether it says so. */
  stop(partitionId: PartitionId, answers = true): Serving | undefined {
    const serving = this.serving.get(partitionId);
    if (serving === undefined) return undefined;
    this.serving.delete(partitionId);
    if (!answers) return serving;
    for (const pending of serving.pending.filter((one) => !one.isReleased)) {
      const error = new PyralogError({ code: 'fenced', message: 'the epoch ended', outcome: 'unknown' });
      for (const subject of pending.replyTo) this.transport.publish(subject, encodeFailure(error));
    }
    return serving;
  }

  #answer(message: Message, work: () => unknown): void {
    if (message.replyTo === undefined) return;
    try {
      this.transport.publish(message.replyTo, encodeResult(work()));
    } catch (error) {
      this.transport.publish(message.replyTo, encodeFailure(error));
    }
  }

  #statuses(message: Message): unknown {
    const { partitionIds } = decodeMessage(partitionStatusRequestSchema, message.payload);
    const partitions = partitionIds.flatMap((partitionId) => {
      const serving = this.serving.get(partitionId);
      if (serving === undefined) return [];
      const { fragment, releasedOffset, nextOffset } = serving;
      return [
        { partitionId, epoch: fragment.epoch, nonce: fragment.nonce, releasedOffset, nextOffset, windowBytes: 0 },
      ];
    });
    return { partitions, recovering: [] };
  }

  #append(message: Message): void {
    try {
      this.#admit(message);
    } catch (error) {
      if (message.replyTo !== undefined) this.transport.publish(message.replyTo, encodeFailure(error));
    }
  }

  #admit(message: Message): void {
    this.appendsSeen++;
    const partitionId = Number(subjectToken(this.#subjects.prefix, message.subject, 3)) as PartitionId;
    const serving = this.serving.get(partitionId);
    if (serving === undefined) throw new PyralogError({ code: 'not-sequencer', message: 'not the owner' });
    const frame = message.payload;
    const header = checkClientFrame(frame, crc32);
    scanBody(frameBody(frame, header), header.recordCount);
    const refusal = this.refuseAppend(partitionId, header);
    if (refusal !== undefined) throw refusal;
    const repeated = checkSequence(serving, header);
    if (repeated !== undefined) {
      this.#answerRepeat(repeated, message.replyTo);
      return;
    }
    const baseOffset = serving.nextOffset as Offset;
    const appendTimeMs = this.#network.clock.wallMs();
    const { epoch, nonce, durability } = serving.fragment;
    const releasedOffset = serving.releasedOffset as Offset;
    stampFrame(frame, { partitionId, epoch, nonce, baseOffset, appendTimeMs, releasedOffset, durability }, crc32);
    const nodeIds = serving.table.nodeIds(serving.table.copyset(partitionId, baseOffset));
    const pending: Pending = {
      epoch,
      baseOffset,
      end: (baseOffset + header.recordCount) as Offset,
      frame,
      nodeIds,
      stored: new Set(),
      replyTo: message.replyTo === undefined ? [] : [message.replyTo],
      appendTimeMs,
      isReleased: false,
    };
    serving.nextOffset = pending.end;
    serving.pending.push(pending);
    remember(serving, header, pending);
    this.transport.publish(
      this.#subjects.store(this.#namespace, partitionId, nodeIds),
      frame,
      this.#subjects.acks(this.id),
    );
    this.#resendLater(serving, pending, 500);
  }

  #answerRepeat(pending: Pending, replyTo: string | undefined): void {
    if (replyTo === undefined) return;
    if (pending.isReleased) this.transport.publish(replyTo, replyOf(pending));
    else pending.replyTo.push(replyTo);
  }

  #resendLater(serving: Serving, pending: Pending, delayMs: number): void {
    this.#network.clock.schedule(delayMs, () => {
      if (this.serving.get(serving.partitionId) !== serving || this.transport.status === 'closed') return;
      const missing = pending.nodeIds.filter((nodeId) => !pending.stored.has(nodeId));
      for (const nodeId of missing) {
        this.transport.publish(this.#subjects.resend(nodeId), pending.frame, this.#subjects.acks(this.id));
      }
      if (missing.length > 0 && delayMs < 20_000) this.#resendLater(serving, pending, delayMs * 2);
    });
  }

  #acknowledged(message: Message): void {
    const { nodeId, acks } = decodeStoreAcks(message.payload);
    for (const ack of acks) {
      const serving = this.serving.get(ack.partitionId);
      if (serving === undefined || serving.fragment.nonce !== ack.nonce) continue;
      serving.pending.find((one) => one.baseOffset === ack.baseOffset)?.stored.add(nodeId);
      this.#release(serving);
    }
  }

  #release(serving: Serving): void {
    let released = false;
    for (const pending of serving.pending) {
      if (pending.isReleased) continue;
      if (pending.stored.size < serving.fragment.writeQuorum) break;
      pending.isReleased = true;
      released = true;
      serving.releasedOffset = pending.end;
      for (const subject of pending.replyTo) this.transport.publish(subject, replyOf(pending));
      pending.replyTo.length = 0;
    }
    if (!released || !this.publishesReleases) return;
    const { epoch, nonce } = serving.fragment;
    const release = encodeRelease({ epoch, nonce, releasedOffset: serving.releasedOffset as Offset });
    this.transport.publish(this.#subjects.release(this.#namespace, serving.partitionId), release);
  }
}

function replyOf({ epoch, baseOffset, appendTimeMs }: Pending): Uint8Array {
  return encodeAppendReply({ epoch, baseOffset, appendTimeMs });
}

/** The batch that `header` repeats. */
function checkSequence(serving: Serving, header: ClientHeader): Pending | undefined {
  const producer = serving.producers.get(header.producerId);
  if (producer === undefined || header.producerEpoch > producer.epoch) return undefined;
  if (header.producerEpoch < producer.epoch) {
    throw new PyralogError({ code: 'fenced', message: 'a newer epoch of the producer was seen', retry: 'never' });
  }
  if (header.baseSequence === producer.nextSequence) return undefined;
  const known = producer.batches.find(
    (one) => one.baseSequence === header.baseSequence && one.recordCount === header.recordCount,
  );
  if (known !== undefined) return known.pending;
  const fields = { sequence: header.baseSequence, expectedSequence: producer.nextSequence };
  if (((header.baseSequence - producer.nextSequence) | 0) > 0) {
    throw new PyralogError({
      code: 'unavailable',
      message: 'batches before this one are missing',
      retry: 'same',
      fields,
    });
  }
  throw new PyralogError({ code: 'invalid', message: 'batch is too old to be compared', outcome: 'unknown', fields });
}

function remember(serving: Serving, header: ClientHeader, pending: Pending): void {
  let producer = serving.producers.get(header.producerId);
  if (producer === undefined || producer.epoch !== header.producerEpoch) {
    producer = { epoch: header.producerEpoch, nextSequence: 0, batches: [] };
    serving.producers.set(header.producerId, producer);
  }
  producer.nextSequence = (header.baseSequence + header.recordCount) >>> 0;
  producer.batches.push({ baseSequence: header.baseSequence, recordCount: header.recordCount, pending });
  if (producer.batches.length > LIMITS.producerBatchesRemembered) producer.batches.shift();
}
