/**
 * A sequencer: orders the records of the partitions it owns, and owns no disk.
 *
 * Two connections: `data` carries appends, stores, acknowledgements and releases; `control` carries heartbeats, metadata
 * and requests, so that bulk data never delays a heartbeat.
 */
import {
  Buckets,
  type Clock,
  type Crc32,
  DEFAULTS,
  decodeMessage,
  decodeStoreAcks,
  delay,
  describeError,
  type Epoch,
  encodeFailure,
  encodeMessage,
  encodeRelease,
  type Heartbeat,
  heartbeatSchema,
  hex64,
  type Incarnation,
  type Logger,
  type Message,
  type MetadataStore,
  type PartitionId,
  PyralogError,
  type Random,
  type Registration,
  SEQUENCER_QUEUE,
  type SequencerId,
  Subjects,
  type Transport,
} from '@pyralog/shared/core';
import { Assignment } from './assignment.ts';
import { Liveness } from './liveness.ts';
import { finishDeletion } from './log-admin.ts';
import { MetadataView } from './metadata-view.ts';
import { Sealer } from './recovery/sealer.ts';
import { Requests } from './requests.ts';
import { Resender } from './resender.ts';
import type { ServingPartition } from './serving-partition.ts';
import { Window, type WindowLimits } from './window.ts';

const TICK_MS = 100;
/** A review looks at every partition, and a sequencer that takes many over hears of changes in every turn. */
const REVIEW_INTERVAL_MS = 4;
const METADATA_RETRY_MS = 500;
/** Within this time clients have heard who the owners are now. */
const LATECOMERS_ANSWERED_MS = 100;
/** How often silence is looked for; and the silence, in heartbeats, after which a sequencer is probed. */
const PROBE_TICK_MS = 25;
const PROBE_AFTER_HEARTBEATS = 1;
const PROBE_ANSWER_MS_MAX = 250;

export interface SequencerOptions {
  readonly sequencerId: SequencerId;
  readonly clusterName: string;
  readonly heartbeatIntervalMs: number;
  readonly suspectAfterMs: number;
  /** Shards of the partition metadata, if this process is the first of the cluster. */
  readonly epochShards: number;
  readonly metadataReplicas: number;
  readonly window: WindowLimits;
}

export interface SequencerPorts {
  readonly data: Transport;
  readonly control: Transport;
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly crc32: Crc32;
  readonly logger: Logger;
  /** Resident memory of the process, bytes. */
  readonly memoryBytes: () => number;
  /** A process that started later goes by the same id: this one must end. */
  readonly onSuperseded: () => void;
}

export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #ports: SequencerPorts;
  readonly #subjects: Subjects;
  readonly #window: Window;
  readonly #liveness: Liveness;
  readonly #metadata: MetadataView;
  readonly #assignment: Assignment;
  readonly #requests: Requests;
  readonly #resender: Resender;
  readonly #registrations: Registration[] = [];
  readonly #unannounced = new Set<ServingPartition>();
  readonly #deleting = new Set<PartitionId>();
  readonly #probing = new Set<string>();
  readonly #instance: Incarnation;
  readonly #startedAtMs: number;
  #releaseScheduled = false;
  #reviewScheduled = false;
  #reviewedAtMs = Number.NEGATIVE_INFINITY;
  /** Had time to: before, everybody else would be taken for dead. */
  #hasHeardNeighbours = false;
  #tickedAtMs = Number.POSITIVE_INFINITY;
  /** A drained sequencer has handed everything over at an operator's word, and lives on. */
  #state: 'starting' | 'serving' | 'drained' | 'draining' | 'stopped' = 'starting';

  constructor(options: SequencerOptions, ports: SequencerPorts) {
    const { data, control, store, clock, random, crc32, logger } = ports;
    const { sequencerId, clusterName } = options;
    this.#options = options;
    this.#ports = ports;
    this.#subjects = new Subjects(clusterName);
    this.#window = new Window(options.window);
    this.#liveness = new Liveness(clock, options.suspectAfterMs);
    this.#instance = hex64(random.u64()) as Incarnation;
    this.#startedAtMs = clock.wallMs();
    const liveness = this.#liveness;
    const subjects = this.#subjects;
    const buckets = new Buckets(clusterName);
    this.#metadata = new MetadataView({ store, buckets, logger, onChange: () => this.#scheduleReview() });
    const metadata = this.#metadata;
    this.#resender = new Resender({ transport: data, subjects, clock, liveness });
    this.#assignment = new Assignment({
      metadata,
      liveness,
      random,
      sequencerId,
      transport: data,
      subjects,
      clock,
      crc32,
      logger,
      sealer: new Sealer(control, subjects, clock),
      window: this.#window,
      onReleased: (partition) => this.#released(partition),
      onFenced: (partition, epoch) => this.#assignment.fenced(partition, epoch),
      onReviewNeeded: () => this.#scheduleReview(),
      onTopologyChange: (partitionId, epoch, owner) => this.#announce(partitionId, epoch, owner),
    });
    this.#requests = new Requests(
      { metadata, liveness, clock, random, transport: control, subjects, logger, clusterName },
      this.#assignment,
    );
  }

  /**
   * Reads the metadata, listens, and begins to take partitions once it has had time to hear its neighbours.
   * @throws PyralogError when the metadata is not that of a cluster.
   */
  async start(): Promise<void> {
    const { data, control, clock } = this.#ports;
    const { sequencerId, epochShards, metadataReplicas, suspectAfterMs, heartbeatIntervalMs } = this.#options;
    const subjects = this.#subjects;
    const listen = (registration: Registration): number => this.#registrations.push(registration);
    listen(control.subscribe(subjects.probe('sequencer', sequencerId), (message) => this.#answerProbe(message)));
    listen(control.subscribe(subjects.heartbeats, (message) => this.#heard(message)));
    await this.#openMetadata({ epochShards, replicas: metadataReplicas });
    listen(control.subscribe(subjects.operate(sequencerId), (message) => this.#operate(message)));
    listen(data.subscribe(subjects.appendsTo(sequencerId), (message) => this.#append(message)));
    listen(data.subscribe(subjects.acks(sequencerId), (message) => this.#acknowledged(message)));
    listen(control.subscribe(subjects.partitionsOf(sequencerId), (message) => this.#requests.partitions(message)));
    this.#state = 'serving';
    this.#repeat(heartbeatIntervalMs, () => this.#heartbeat());
    await new Promise<void>((resolve) => {
      clock.schedule(suspectAfterMs, resolve);
    });
    this.#hasHeardNeighbours = true;
    const queue = { queue: SEQUENCER_QUEUE };
    listen(control.subscribe(subjects.admins, (message) => this.#requests.admin(message), queue));
    listen(control.subscribe(subjects.cluster, (message) => this.#requests.cluster(message), queue));
    this.#repeat(TICK_MS, () => this.#tick());
    this.#repeat(PROBE_TICK_MS, () => this.#probeSilent());
    await Promise.all([data.flush(), control.flush()]);
  }

  /** Tries until the metadata can be reached: services may start before NATS has elected its leaders. */
  async #openMetadata(options: { epochShards: number; replicas: number }): Promise<void> {
    for (;;) {
      try {
        await this.#metadata.open(options);
        return;
      } catch (error) {
        if (!(error instanceof PyralogError) || error.retry === 'never') throw error;
        this.#ports.logger.warn('metadata cannot be reached; it is tried again', { problem: describeError(error) });
        this.#metadata.close();
        await delay(this.#ports.clock, METADATA_RETRY_MS);
      }
    }
  }

  #operate(message: Message): void {
    this.#requests.operate(message, {
      drain: async () => {
        if (this.#state === 'serving') this.#state = 'drained';
        this.#heartbeat();
        await this.#assignment.drain();
      },
      resume: async () => {
        if (this.#state === 'drained') this.#state = 'serving';
        this.#heartbeat();
        this.#assignment.resume();
      },
    });
  }

  /**
   * Closes every epoch and stops. What comes too late is answered for some time still: a client that got no answer would
   * wait for it.
   */
  async stop(): Promise<void> {
    if (this.#state === 'draining' || this.#state === 'stopped') return;
    this.#state = 'draining';
    this.#heartbeat();
    await this.#assignment.drain();
    this.#state = 'stopped';
    this.#metadata.close();
    await delay(this.#ports.clock, LATECOMERS_ANSWERED_MS);
    for (const registration of this.#registrations) registration.cancel();
  }

  #repeat(intervalMs: number, action: () => void): void {
    const run = (): void => {
      if (this.#state === 'stopped') return;
      action();
      this.#ports.clock.schedule(intervalMs, run);
    };
    run();
  }

  #append(message: Message): void {
    const { subject, replyTo } = message;
    const partitionId = Number(subject.slice(subject.lastIndexOf('.') + 1)) as PartitionId;
    const partition = this.#assignment.serving.get(partitionId);
    if (partition !== undefined && partition.appendSubject === subject) {
      partition.append(message);
    } else if (replyTo !== undefined) {
      this.#ports.data.publish(replyTo, encodeFailure(this.#notSequencer(partitionId)));
    }
  }

  #notSequencer(partitionId: PartitionId): PyralogError {
    return new PyralogError({
      code: 'not-sequencer',
      message: 'this sequencer does not own the partition',
      fields: {
        partitionId,
        sequencerId: this.#options.sequencerId,
        state: this.#assignment.recovering.has(partitionId) ? 'recovery-needed' : undefined,
      },
    });
  }

  #acknowledged(message: Message): void {
    try {
      const { nodeId, incarnation, acks } = decodeStoreAcks(message.payload);
      for (const ack of acks) this.#assignment.serving.get(ack.partitionId)?.acknowledged(nodeId, incarnation, ack);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      this.#ports.logger.warn('acknowledgements are damaged and were dropped', { problem: describeError(error) });
    }
  }

  #released(partition: ServingPartition): void {
    this.#unannounced.add(partition);
    if (this.#releaseScheduled) return;
    this.#releaseScheduled = true;
    this.#ports.clock.schedule(DEFAULTS.idleReleaseMs, () => this.#publishReleases());
  }

  /** Tells tail readers what no store message has told them. */
  #publishReleases(): void {
    this.#releaseScheduled = false;
    for (const partition of this.#unannounced) {
      const { releasedOffset, fragment } = partition;
      if (partition.state === 'stopped' || partition.announcedOffset >= releasedOffset) continue;
      partition.announcedOffset = releasedOffset;
      const { epoch, nonce } = fragment;
      this.#ports.data.publish(partition.releaseSubject, encodeRelease({ epoch, nonce, releasedOffset }));
    }
    this.#unannounced.clear();
  }

  #heard(message: Message): void {
    if (this.#state === 'stopped') return;
    try {
      const heartbeat = decodeMessage(heartbeatSchema, message.payload);
      if (this.#isSupersededBy(heartbeat)) this.#ports.onSuperseded();
      else this.#liveness.heard(heartbeat);
    } catch (error) {
      if (!(error instanceof PyralogError)) throw error;
      this.#ports.logger.debug('heartbeat is not well formed', { subject: message.subject });
    }
  }

  /** Two processes under one id would take partitions from each other for ever: the one that started first yields. */
  #isSupersededBy({ role, id, instance, startedAtMs }: Heartbeat): boolean {
    if (role !== 'sequencer' || id !== this.#options.sequencerId || instance === this.#instance) return false;
    return startedAtMs > this.#startedAtMs || (startedAtMs === this.#startedAtMs && instance > this.#instance);
  }

  #answerProbe({ replyTo }: Message): void {
    if (replyTo !== undefined) this.#ports.control.publish(replyTo, new Uint8Array(0));
  }

  /** A sequencer whose heartbeat is overdue is asked; when NATS says that nobody listens, it is gone. */
  #probeSilent(): void {
    const { sequencerId, heartbeatIntervalMs } = this.#options;
    for (const process of this.#liveness.silentSequencers(sequencerId, heartbeatIntervalMs * PROBE_AFTER_HEARTBEATS)) {
      const { id } = process.heartbeat;
      if (this.#probing.has(id)) continue;
      this.#probing.add(id);
      this.#ports.control
        .request(this.#subjects.probe('sequencer', id), new Uint8Array(0), { timeoutMs: PROBE_ANSWER_MS_MAX })
        .catch((error: unknown) => {
          if (!(error instanceof PyralogError)) throw error;
          if (error.code !== 'unavailable' || this.#ports.control.status !== 'connected') return;
          this.#liveness.goneSince(process);
          this.#ports.logger.info('sequencer is gone', { sequencerId: id });
          this.#liveness.refresh();
          this.#scheduleReview();
        })
        .finally(() => this.#probing.delete(id));
    }
  }

  #heartbeat(): void {
    const heartbeat: Heartbeat = {
      role: 'sequencer',
      id: this.#options.sequencerId,
      instance: this.#instance,
      state: this.#state === 'serving' ? 'serving' : 'draining',
      startedAtMs: this.#startedAtMs,
      partitions: this.#assignment.serving.size,
      recovering: this.#assignment.recovering.size,
      appendedRecords: this.#window.admittedRecords,
      appendedBytes: this.#window.admittedBytes,
      windowBytes: this.#window.bytes,
      rssBytes: this.#ports.memoryBytes(),
    };
    this.#liveness.heard(heartbeat);
    this.#ports.control.publish(
      this.#subjects.heartbeat('sequencer', this.#options.sequencerId),
      encodeMessage(heartbeat),
    );
  }

  #tick(): void {
    const now = this.#ports.clock.monotonicMs();
    if (now - this.#tickedAtMs > this.#options.suspectAfterMs) this.#listenAfresh();
    this.#tickedAtMs = now;
    this.#liveness.refresh();
    this.#resender.tick(this.#assignment.serving.values());
    if (!this.#hasHeardNeighbours) return;
    this.#assignment.review();
    this.#finishDeletions();
  }

  /** This process hung: what it has not heard meanwhile says nothing about the others. */
  #listenAfresh(): void {
    this.#hasHeardNeighbours = false;
    this.#ports.clock.schedule(this.#options.suspectAfterMs, () => {
      this.#hasHeardNeighbours = true;
    });
  }

  /** At once, or, when many changes come together, as soon as the last review is `REVIEW_INTERVAL_MS` ago. */
  #scheduleReview(): void {
    if (this.#reviewScheduled || !this.#hasHeardNeighbours) return;
    this.#reviewScheduled = true;
    const { clock } = this.#ports;
    const review = (): void => {
      this.#reviewScheduled = false;
      this.#reviewedAtMs = clock.monotonicMs();
      if (this.#state === 'serving') this.#assignment.review();
    };
    const waitMs = this.#reviewedAtMs + REVIEW_INTERVAL_MS - clock.monotonicMs();
    if (waitMs > 0) clock.schedule(waitMs, review);
    else clock.defer(review);
  }

  /** The sequencer that is ranked first for a deleted log's first partition removes its metadata. */
  #finishDeletions(): void {
    const candidates = this.#liveness.servingSequencers().map(({ id }) => id);
    for (const log of this.#metadata.logs()) {
      if (log.state !== 'deleting' || this.#deleting.has(log.firstPartitionId)) continue;
      if (this.#assignment.preferred(log.firstPartitionId, candidates) !== this.#options.sequencerId) continue;
      this.#deleting.add(log.firstPartitionId);
      finishDeletion(this.#metadata, log)
        .catch((error: unknown) => {
          if (!(error instanceof PyralogError)) throw error;
          this.#ports.logger.warn('deletion is tried again', { problem: describeError(error) });
        })
        .finally(() => this.#deleting.delete(log.firstPartitionId));
    }
  }

  #announce(partitionId: PartitionId, epoch: Epoch, sequencerId: SequencerId | undefined): void {
    const entry = this.#metadata.partition(partitionId);
    if (entry === undefined) return;
    const { log, partition } = entry;
    this.#ports.control.publish(
      this.#subjects.topology(log.namespace, log.name),
      encodeMessage({ partition, epoch, sequencerId }),
    );
  }
}
