/** Answers control requests: administration of a namespace, the cluster's status, the status of owned partitions. */
import {
  adminRequestSchema,
  clusterRequestSchema,
  decodeMessage,
  encodeFailure,
  encodeResult,
  formatLogName,
  LOGS_LISTED_MAX,
  type LogConfig,
  type Logger,
  type Message,
  operateRequestSchema,
  type PartitionId,
  PyralogError,
  partitionStatusRequestSchema,
  type RecoveryProgress,
  type Subjects,
  subjectToken,
  type Transport,
} from '@pyralog/shared/core';
import type { Assignment } from './assignment.ts';
import type { Liveness } from './liveness.ts';
import { createLog, deleteLog, type LogAdminPorts, unknownLog } from './log-admin.ts';
import { movePartition } from './move-partition.ts';
import { describeCluster, describeTopology } from './topology.ts';

/** Administrative requests under way at once; more are refused. */
const REQUESTS_IN_FLIGHT_MAX = 256;

export interface RequestPorts extends LogAdminPorts {
  readonly transport: Transport;
  readonly subjects: Subjects;
  readonly liveness: Liveness;
  readonly logger: Logger;
  readonly clusterName: string;
}

export class Requests {
  readonly #ports: RequestPorts;
  readonly #assignment: Assignment;
  #inFlight = 0;

  constructor(ports: RequestPorts, assignment: Assignment) {
    this.#ports = ports;
    this.#assignment = assignment;
  }

  admin(message: Message): void {
    this.#answer(message, async () => {
      const namespace = subjectToken(this.#ports.subjects.prefix, message.subject, 1) ?? '';
      return this.#administer(namespace, message.payload);
    });
  }

  cluster(message: Message): void {
    this.#answer(message, async () => {
      const { metadata, liveness, clusterName, transport } = this.#ports;
      const request = decodeMessage(clusterRequestSchema, message.payload);
      if (request.op === 'list-logs') return { logs: listed([...metadata.logs()]) };
      return describeCluster({ clusterName, metadata, liveness, payloadBytesMax: transport.payloadBytesMax });
    });
  }

  partitions(message: Message): void {
    this.#answer(message, async () => {
      const namespace = subjectToken(this.#ports.subjects.prefix, message.subject, 1);
      const { partitionIds } = decodeMessage(partitionStatusRequestSchema, message.payload);
      const partitions = partitionIds.flatMap((partitionId) => {
        const partition = this.#assignment.serving.get(partitionId);
        return partition === undefined || partition.namespace !== namespace ? [] : [partition.status];
      });
      return { partitions, recovering: this.#recoveriesOf(namespace, partitionIds) };
    });
  }

  operate(message: Message, actions: Readonly<Record<'drain' | 'resume', () => Promise<void>>>): void {
    this.#answer(message, async () => {
      const { op } = decodeMessage(operateRequestSchema, message.payload);
      await actions[op]();
      return { partitions: this.#assignment.serving.size };
    });
  }

  #recoveriesOf(namespace: string | undefined, partitionIds: readonly PartitionId[]): RecoveryProgress[] {
    const { metadata, clock } = this.#ports;
    return partitionIds.flatMap((partitionId) => {
      const status = this.#assignment.recovering.get(partitionId);
      if (status === undefined || metadata.partition(partitionId)?.log.namespace !== namespace) return [];
      const { phase, blockedBy, sinceMs } = status;
      return [{ partitionId, phase, blockedBy: [...blockedBy], forMs: Math.round(clock.monotonicMs() - sinceMs) }];
    });
  }

  async #administer(namespace: string, payload: Uint8Array): Promise<unknown> {
    const { metadata, liveness } = this.#ports;
    const request = decodeMessage(adminRequestSchema, payload);
    switch (request.op) {
      case 'create-log':
        return { log: await createLog(this.#ports, { namespace, name: request.name }, request.options) };
      case 'delete-log':
        await deleteLog(metadata, { namespace, name: request.name });
        return {};
      case 'list-logs':
        return { logs: listed([...metadata.logs()].filter((log) => log.namespace === namespace)) };
      case 'move-partition':
        await movePartition(this.#ports, { namespace, name: request.name }, request.partition, request.to);
        return {};
      case 'topology': {
        const name = { namespace, name: request.name };
        const log = metadata.log(name) ?? (await metadata.fetchLog(name));
        if (log === undefined || log.state === 'deleting') throw unknownLog(name);
        return describeTopology(metadata, liveness, log, request.from);
      }
    }
  }

  /** Replies with the result of `work`, or with its operating error. */
  #answer(message: Message, work: () => Promise<unknown>): void {
    const { replyTo } = message;
    if (replyTo === undefined) return;
    if (this.#inFlight >= REQUESTS_IN_FLIGHT_MAX) {
      const limit = REQUESTS_IN_FLIGHT_MAX;
      this.#reply(
        replyTo,
        encodeFailure(new PyralogError({ code: 'overloaded', message: 'too many requests', fields: { limit } })),
      );
      return;
    }
    this.#inFlight++;
    void this.#settle(replyTo, work).finally(() => {
      this.#inFlight--;
    });
  }

  async #settle(replyTo: string, work: () => Promise<unknown>): Promise<void> {
    try {
      this.#ports.transport.publish(replyTo, encodeResult(await work()));
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      this.#reply(replyTo, encodeFailure(error));
    }
  }

  #reply(replyTo: string, reply: Uint8Array): void {
    const { transport, logger } = this.#ports;
    try {
      transport.publish(replyTo, reply);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      logger.warn('reply could not be sent', { problem: error.message });
    }
  }
}

function listed(logs: LogConfig[]): LogConfig[] {
  return logs
    .filter((log) => log.state === 'active')
    .sort((a, b) => (formatLogName(a) < formatLogName(b) ? -1 : 1))
    .slice(0, LOGS_LISTED_MAX);
}
