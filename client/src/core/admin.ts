/** Creates, deletes and describes logs, and describes the cluster. Any sequencer answers. */
import {
  type ClusterStatus,
  checkWhole,
  clusterStatusSchema,
  createdLogSchema,
  decodeReply,
  encodeMessage,
  invalid,
  isNamespace,
  type LogConfig,
  type LogOptions,
  logListSchema,
  operateReplySchema,
  type PartitionStatus,
  type PartitionTopology,
  PyralogError,
  parseLogName,
  partitionStatusReplySchema,
  type RecoveryProgress,
  sequencerIdSchema,
} from '@pyralog/shared/core';
import { askSequencers } from './ask.ts';
import type { PartitionStatuses } from './partition-statuses.ts';
import type { ClientPorts } from './ports.ts';
import { SETTINGS } from './settings.ts';
import { fetchTopology } from './topology.ts';

const emptyResultSchema = createdLogSchema.partial();

export interface LogDescription {
  readonly log: LogConfig;
  /** `status` is what the owner says; `undefined` when nobody owns the partition, or its owner does not answer. */
  readonly partitions: readonly DescribedPartition[];
}

export interface DescribedPartition extends PartitionTopology {
  readonly status: PartitionStatus | undefined;
  /** How far a sequencer is that takes the partition over from a dead owner, and which storage nodes it waits for. */
  readonly recovery: RecoveryProgress | undefined;
}

export class Admin {
  readonly #ports: ClientPorts;
  readonly #statuses: PartitionStatuses;

  constructor(ports: ClientPorts, statuses: PartitionStatuses) {
    this.#ports = ports;
    this.#statuses = statuses;
  }

  /**
   * Creates the log `namespace/name`. Its partitions take appends as soon as sequencers have taken them up.
   * @throws PyralogError `invalid` naming the field and its limit, also when the log exists; `unavailable`, `timeout`.
   */
  async createLog(log: string, options: LogOptions): Promise<LogConfig> {
    const { namespace, name } = parseLogName(log);
    // The other numbers are the sequencer's to check. This one would not survive JSON.
    checkWhole('partitions', options.partitions, 1, Number.MAX_SAFE_INTEGER);
    const created = await askSequencers(this.#ports, {
      subject: this.#ports.subjects.admin(namespace),
      request: { op: 'create-log', name, options },
      schema: createdLogSchema,
      isReadOnly: false,
    });
    return created.log;
  }

  /** @throws PyralogError `invalid` when there is no such log; `unavailable`, `timeout`. */
  async deleteLog(log: string): Promise<void> {
    const { namespace, name } = parseLogName(log);
    await askSequencers(this.#ports, {
      subject: this.#ports.subjects.admin(namespace),
      request: { op: 'delete-log', name },
      schema: emptyResultSchema,
      isReadOnly: false,
    });
  }

  /** All logs, or those of a namespace. @throws PyralogError `invalid`, `unavailable`, `timeout`. */
  async listLogs(namespace?: string): Promise<LogConfig[]> {
    if (namespace !== undefined && !isNamespace(namespace)) {
      throw invalid('namespace', 'namespace is not 1 to 64 letters, digits, _ or -', { value: namespace });
    }
    const { subjects } = this.#ports;
    const { logs } = await askSequencers(this.#ports, {
      subject: namespace === undefined ? subjects.cluster : subjects.admin(namespace),
      request: { op: 'list-logs' },
      schema: logListSchema,
      isReadOnly: true,
    });
    return logs;
  }

  /** @throws PyralogError `invalid` when there is no such log; `unavailable`, `timeout`. */
  async describeLog(log: string): Promise<LogDescription> {
    const name = parseLogName(log);
    const view = await fetchTopology(this.#ports, name);
    const partitions = await Promise.all(
      view.partitions.map(async (partition) => ({
        ...partition,
        status: await this.#status(name.namespace, partition),
        recovery: await this.#recovery(name.namespace, partition),
      })),
    );
    return { log: view.log, partitions };
  }

  /** @throws PyralogError `unavailable`, `timeout`. */
  async clusterStatus(): Promise<ClusterStatus> {
    return askSequencers(this.#ports, {
      subject: this.#ports.subjects.cluster,
      request: { op: 'status' },
      schema: clusterStatusSchema,
      isReadOnly: true,
    });
  }

  /**
   * Hands a partition to another sequencer, where it stays while that one lives; without `to`, back to whom the ranking
   * says. No append fails. Returns when that is decided; the owner follows at once.
   * @throws PyralogError `invalid` when there is no such log, partition or live sequencer; `unavailable`, `timeout`.
   */
  async movePartition(log: string, partition: number, to?: string): Promise<void> {
    const { namespace, name } = parseLogName(log);
    await askSequencers(this.#ports, {
      subject: this.#ports.subjects.admin(namespace),
      request: { op: 'move-partition', name, partition, to },
      schema: emptyResultSchema,
      isReadOnly: false,
    });
  }

  /**
   * Lets a sequencer hand over all its partitions and take none until it is resumed or restarted. Returns when it has.
   * @throws PyralogError `invalid` when the id is not well formed; `unavailable` when it does not live; `timeout`.
   */
  async drainSequencer(sequencerId: string): Promise<void> {
    await this.#operate(sequencerId, 'drain');
  }

  /** Lets a drained sequencer take partitions again. Throws as `drainSequencer` does. */
  async resumeSequencer(sequencerId: string): Promise<void> {
    await this.#operate(sequencerId, 'resume');
  }

  async #operate(id: string, op: 'drain' | 'resume'): Promise<void> {
    const { transport, subjects } = this.#ports;
    const parsed = sequencerIdSchema.safeParse(id);
    if (!parsed.success) throw invalid('sequencer', 'sequencer id is not 1 to 63 lower-case letters, digits or -');
    const timeoutMs = SETTINGS.drainTimeoutMs;
    const reply = await transport.request(subjects.operate(parsed.data), encodeMessage({ op }), { timeoutMs });
    decodeReply(operateReplySchema, reply.payload);
  }

  async #recovery(namespace: string, partition: PartitionTopology): Promise<RecoveryProgress | undefined> {
    if (partition.state !== 'recovery-needed' || partition.claim === undefined) return undefined;
    const { transport, subjects } = this.#ports;
    const request = encodeMessage({ partitionIds: [partition.partitionId] });
    try {
      const subject = subjects.partitions(namespace, partition.claim.sequencerId);
      const reply = await transport.request(subject, request, { timeoutMs: SETTINGS.statusTimeoutMs });
      return decodeReply(partitionStatusReplySchema, reply.payload).recovering[0];
    } catch (error) {
      if (error instanceof PyralogError) return undefined;
      throw error;
    }
  }

  async #status(namespace: string, partition: PartitionTopology): Promise<PartitionStatus | undefined> {
    if (partition.sequencerId === undefined) return undefined;
    try {
      return await this.#statuses.ask(namespace, partition.sequencerId, partition.partitionId);
    } catch (error) {
      // What is known of the log is worth more than an error that one owner does not answer.
      if (error instanceof PyralogError) return undefined;
      throw error;
    }
  }
}
