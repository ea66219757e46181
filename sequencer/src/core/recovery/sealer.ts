/**
 * Sends seals to storage nodes, many partitions in one message. An answer that does not come, or comes incomplete, is the
 * caller's to ask for again: a seal may be repeated with the same ballot.
 */
import {
  type Clock,
  decodeSealReply,
  encodeMessage,
  type Incarnation,
  type PartitionId,
  PyralogError,
  SEALS_MAX,
  type Seal,
  type SealAnswer,
  type StorageNodeId,
  type Subjects,
  type Transport,
} from '@pyralog/shared/core';

/** Longest wait for one answer: a node syncs its disk before it answers. */
const ANSWER_MS_MAX = 1_000;

export interface NodeSealed {
  readonly nodeId: StorageNodeId;
  readonly incarnation: Incarnation;
  readonly answer: SealAnswer;
}

interface Waiting {
  readonly seal: Seal;
  readonly resolve: (sealed: NodeSealed) => void;
  readonly reject: (error: unknown) => void;
}

export class Sealer {
  readonly #transport: Transport;
  readonly #subjects: Subjects;
  readonly #clock: Clock;
  readonly #waiting = new Map<StorageNodeId, Waiting[]>();
  #scheduled = false;

  constructor(transport: Transport, subjects: Subjects, clock: Clock) {
    this.#transport = transport;
    this.#subjects = subjects;
    this.#clock = clock;
  }

  /** @throws PyralogError `timeout`, `unavailable` when the node does not answer; `corrupt` when it answers nonsense. */
  seal(nodeId: StorageNodeId, seal: Seal): Promise<NodeSealed> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(nodeId);
      if (waiting === undefined) this.#waiting.set(nodeId, [{ seal, resolve, reject }]);
      else waiting.push({ seal, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.#clock.defer(() => this.#send());
    });
  }

  #send(): void {
    this.#scheduled = false;
    for (const [nodeId, waiting] of this.#waiting) {
      for (let from = 0; from < waiting.length; from += SEALS_MAX) {
        const batch = waiting.slice(from, from + SEALS_MAX);
        this.#ask(nodeId, batch).catch((error: unknown) => {
          for (const { reject } of batch) reject(error);
        });
      }
    }
    this.#waiting.clear();
  }

  async #ask(nodeId: StorageNodeId, batch: readonly Waiting[]): Promise<void> {
    const request = encodeMessage({ seals: batch.map(({ seal }) => seal) });
    const message = await this.#transport.request(this.#subjects.seal(nodeId), request, { timeoutMs: ANSWER_MS_MAX });
    const reply = decodeSealReply(message.payload);
    const answers = new Map<PartitionId, SealAnswer>(reply.answers.map((answer) => [answer.partitionId, answer]));
    for (const { seal, resolve, reject } of batch) {
      const answer = answers.get(seal.partitionId);
      if (answer === undefined || reply.nodeId !== nodeId) {
        reject(
          new PyralogError({
            code: 'unavailable',
            message: 'storage node did not answer for the partition',
            fields: { nodeId },
          }),
        );
      } else {
        resolve({ nodeId, incarnation: reply.incarnation, answer });
      }
    }
  }
}
