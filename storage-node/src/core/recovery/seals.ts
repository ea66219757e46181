/**
 * Seals: a sequencer that takes over forbids this node to store epochs below its ballot, and asks what the node has of
 * the last one. The gate closes when the request arrives; the answer waits until the seal is durable, as a frame in the
 * segments, behind everything that was queued before it: whatever was stored is in the answer.
 */
import {
  type BatchLocation,
  type Clock,
  type Crc32,
  controlFrame,
  decodeMessage,
  describeError,
  type Epoch,
  encodeSealReply,
  type Incarnation,
  type Message,
  type Nonce,
  type Offset,
  PyralogError,
  readFrameHeader,
  type Seal,
  type SealAnswer,
  type StorageNodeId,
  type StoreVerdict,
  sealRequestSchema,
  type Transport,
} from '@pyralog/shared/core';
import type { BatchDirectory } from '../batch-directory.ts';
import type { PartitionGate, PartitionGates } from '../partition-gates.ts';
import type { RateLimitedWarnings } from '../rate-limited-warnings.ts';
import type { SegmentWriter } from '../segment-writer.ts';
import type { HeaderReader } from './header-reader.ts';

export interface SealsOptions {
  readonly nodeId: StorageNodeId;
  readonly incarnation: Incarnation;
  /** Something that was stored here is lost. */
  readonly hasLost: boolean;
  readonly gates: PartitionGates;
  readonly directory: BatchDirectory;
  readonly writer: SegmentWriter;
  readonly headers: HeaderReader;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly warnings: RateLimitedWarnings;
}

/** Headers of one reply, 96 bytes each: it fits NATS' default `max_payload`. */
const REPLY_HEADERS_MAX = 6_000;

export class Seals {
  readonly #options: SealsOptions;

  constructor(options: SealsOptions) {
    this.#options = options;
  }

  receive(message: Message): void {
    const { replyTo } = message;
    if (replyTo === undefined) return;
    this.#answer(message.payload, replyTo).catch((error: unknown) => {
      if (!(error instanceof PyralogError)) throw error;
      this.#options.warnings.warn('seal request was dropped', { problem: describeError(error) });
    });
  }

  async #answer(payload: Uint8Array, replyTo: string): Promise<void> {
    const { nodeId, incarnation, transport } = this.#options;
    const { seals } = decodeMessage(sealRequestSchema, payload);
    const verdicts = await Promise.all(seals.map((seal) => this.#seal(seal)));
    const answers: SealAnswer[] = [];
    let room = REPLY_HEADERS_MAX;
    for (const [index, seal] of seals.entries()) {
      const verdict = verdicts[index];
      // Without room on the disk, or a sound copy, nothing can be promised: no answer is the answer.
      if (verdict === undefined || verdict === 'read-only') continue;
      const answer = await this.#describe(seal, verdict, room);
      if (answer === undefined) continue;
      room -= answer.headers.length;
      answers.push(answer);
    }
    transport.publish(replyTo, encodeSealReply({ nodeId, incarnation, answers }));
  }

  /** Closes the gate at once; resolves when that is durable, or refused. */
  #seal({ partitionId, ballot }: Seal): Promise<StoreVerdict> {
    const { gates, writer, clock, crc32 } = this.#options;
    const gate = gates.open(partitionId);
    const frame = controlFrame(
      'seal',
      {
        partitionId,
        epoch: ballot,
        nonce: 0n as Nonce,
        baseOffset: 0 as Offset,
        appendTimeMs: clock.wallMs(),
        releasedOffset: gate.releasedOffset,
      },
      crc32,
    );
    const header = readFrameHeader(frame);
    if (gate.refuses(header)) return Promise.resolve('fenced');
    gate.pass(header);
    return new Promise((settled) => {
      writer.enqueue({ frame, header, gate, replyTo: undefined, acknowledged: false, ballot, settled });
    });
  }

  async #describe(seal: Seal, verdict: StoreVerdict, room: number): Promise<SealAnswer | undefined> {
    const { gates, directory } = this.#options;
    const { partitionId, epoch, nonce, from, knownEpoch, ballot } = seal;
    const gate: PartitionGate = gates.open(partitionId);
    const { hasLost: mayHaveLost } = this.#options;
    const answer = { partitionId, sealedEpoch: gate.epoch, releasedOffset: gate.releasedOffset, mayHaveLost };
    if (verdict !== 'stored') {
      // The gate may have been passed by the epoch that this very ballot opened: that, too, is a higher promise.
      const sealedEpoch = Math.max(gate.epoch, ballot) as Epoch;
      return { ...answer, sealedEpoch, sealed: false, foreign: false, complete: true, headers: [] };
    }
    const locations = this.#locations(seal, room);
    const headers = await this.#read(locations);
    if (headers === undefined) return undefined;
    const own = headers.filter((bytes) => readFrameHeader(bytes).nonce === nonce);
    const foreign = own.length < headers.length || directory.highestEpoch(partitionId) > knownEpoch;
    const last = locations.at(-1);
    const next = last === undefined ? from : ((last.baseOffset + last.recordCount) as Offset);
    const [more] = directory.range({ partitionId, epoch, from: next, until: OFFSET_MAX, limit: 1 });
    return { ...answer, sealed: true, foreign, complete: more === undefined, headers: own };
  }

  /** The batches whose headers are wanted, as many as there is room for. */
  #locations({ partitionId, epoch, from }: Seal, room: number): BatchLocation[] {
    if (room <= 0) return [];
    return this.#options.directory
      .range({ partitionId, epoch, from, until: OFFSET_MAX, limit: room })
      .filter(({ baseOffset }) => baseOffset >= from);
  }

  async #read(locations: readonly BatchLocation[]): Promise<Uint8Array[] | undefined> {
    try {
      return await this.#options.headers.read(locations);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      this.#options.warnings.warn('tail cannot be told: a stored batch is damaged', { problem: describeError(error) });
      return undefined;
    }
  }
}

const OFFSET_MAX = Number.MAX_SAFE_INTEGER as Offset;
