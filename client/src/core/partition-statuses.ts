/**
 * How far partitions are, asked of their owners. What is asked within one turn of the event loop goes to each owner in one
 * request, so that a reader of a thousand partitions does not send a thousand.
 */
import {
  decodeReply,
  encodeMessage,
  LIMITS,
  type PartitionId,
  type PartitionStatus,
  partitionStatusReplySchema,
  type SequencerId,
} from '@pyralog/shared/core';
import type { ClientPorts } from './ports.ts';
import { SETTINGS } from './settings.ts';

interface Question {
  readonly partitionId: PartitionId;
  readonly resolve: (status: PartitionStatus | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class PartitionStatuses {
  readonly #ports: ClientPorts;
  /** By subject. */
  readonly #questions = new Map<string, Question[]>();

  constructor(ports: ClientPorts) {
    this.#ports = ports;
  }

  /**
   * The status of a partition, or `undefined` when `sequencerId` does not own it.
   * @throws PyralogError `unavailable`, `timeout`, `invalid`.
   */
  ask(namespace: string, sequencerId: SequencerId, partitionId: PartitionId): Promise<PartitionStatus | undefined> {
    const subject = this.#ports.subjects.partitions(namespace, sequencerId);
    return new Promise((resolve, reject) => {
      if (this.#questions.size === 0) this.#ports.clock.defer(() => this.#send());
      const question = { partitionId, resolve, reject };
      const questions = this.#questions.get(subject);
      if (questions === undefined) this.#questions.set(subject, [question]);
      else questions.push(question);
    });
  }

  #send(): void {
    const bySubject = [...this.#questions];
    this.#questions.clear();
    for (const [subject, questions] of bySubject) {
      for (let from = 0; from < questions.length; from += LIMITS.topologyPartitionsMax) {
        const some = questions.slice(from, from + LIMITS.topologyPartitionsMax);
        this.#request(subject, some).catch((error: unknown) => {
          for (const question of some) question.reject(error);
        });
      }
    }
  }

  async #request(subject: string, questions: readonly Question[]): Promise<void> {
    const partitionIds = [...new Set(questions.map((question) => question.partitionId))];
    const timeoutMs = SETTINGS.statusTimeoutMs;
    const reply = await this.#ports.transport.request(subject, encodeMessage({ partitionIds }), { timeoutMs });
    const { partitions } = decodeReply(partitionStatusReplySchema, reply.payload);
    const statuses = new Map(partitions.map((status) => [status.partitionId, status]));
    for (const { partitionId, resolve } of questions) resolve(statuses.get(partitionId));
  }
}
