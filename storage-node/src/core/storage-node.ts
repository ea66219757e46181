/**
 * A storage node on the network: what it listens to, and in which order it starts and stops.
 *
 * Start: the store is opened, then the node listens, then it says that it is alive and registers. Stop: it falls
 * silent and stops listening, then the store is closed.
 */
import {
  type BatchIndex,
  type Clock,
  type Crc32,
  type Incarnation,
  LIMITS,
  type Logger,
  type Message,
  type MetadataStore,
  type Random,
  type Registration,
  type SegmentDisk,
  type StorageNodeHeartbeat,
  type StorageNodeId,
  Subjects,
  type Transport,
} from '@pyralog/shared/core';
import { Acknowledgements } from './acknowledgements.ts';
import type { CommitLimits } from './commit-limits.ts';
import { Counters } from './counters.ts';
import { Heartbeats } from './heartbeats.ts';
import { LogDirectory } from './log-directory.ts';
import { NodeMetadata } from './node-metadata.ts';
import { RateLimitedWarnings } from './rate-limited-warnings.ts';
import { FrameReader } from './read/frame-reader.ts';
import { ReadRequests } from './read/read-requests.ts';
import { HeaderReader } from './recovery/header-reader.ts';
import { Seals } from './recovery/seals.ts';
import { TailRepair } from './recovery/tail-repair.ts';
import { SegmentStore } from './segment-store.ts';
import { StoreAdmission } from './store-admission.ts';

export interface StorageNodeSettings extends CommitLimits {
  readonly nodeId: StorageNodeId;
  readonly zone: string | undefined;
  readonly clusterName: string;
  readonly recentBytesMax: number;
  readonly checkpointIntervalMs: number;
  readonly heartbeatIntervalMs: number;
}

export interface StorageNodeOptions {
  readonly settings: StorageNodeSettings;
  /** Of the data directory. */
  readonly incarnation: Incarnation;
  /** Stores, acknowledgements and reads. */
  readonly data: Transport;
  /** Heartbeats: bulk data must not delay them. */
  readonly control: Transport;
  readonly metadata: MetadataStore;
  readonly disk: SegmentDisk;
  /** Opens the index, a new one when the last one is distrusted. */
  readonly openIndex: () => Promise<BatchIndex>;
  readonly clock: Clock;
  readonly random: Random;
  readonly crc32: Crc32;
  readonly logger: Logger;
  readonly residentBytes: () => number;
  /** The process must stop at once, with an error. Called once. */
  readonly onFatal: (reason: unknown) => void;
}

interface Running {
  readonly store: SegmentStore;
  readonly metadata: NodeMetadata;
  readonly heartbeats: Heartbeats;
  readonly reads: ReadRequests;
  readonly listening: readonly Registration[];
}

export class StorageNode {
  readonly counters = new Counters();
  readonly #options: StorageNodeOptions;
  readonly #subjects: Subjects;
  readonly #warnings: RateLimitedWarnings;
  readonly #startedAtMs: number;
  #running: Running | undefined;
  #isFatal = false;

  constructor(options: StorageNodeOptions) {
    this.#options = options;
    this.#subjects = new Subjects(options.settings.clusterName);
    this.#warnings = new RateLimitedWarnings(options.logger, options.clock);
    this.#startedAtMs = options.clock.wallMs();
  }

  /**
   * Resolves when the node takes stores and reads.
   * @throws PyralogError when the data directory cannot be used.
   */
  async start(): Promise<void> {
    const { settings, data, control, clock, logger } = this.#options;
    const { nodeId, heartbeatIntervalMs } = settings;
    const subjects = this.#subjects;
    const acknowledgements = new Acknowledgements({
      nodeId,
      incarnation: this.#options.incarnation,
      transport: data,
      clock,
      logger,
    });
    const store = await SegmentStore.open({
      ...this.#options,
      ...settings,
      limits: settings,
      acknowledgements,
      counters: this.counters,
      onFatal: this.#fatal,
    });
    const logs = new LogDirectory(logger);
    const metadata = new NodeMetadata({
      ...settings,
      store: this.#options.metadata,
      incarnation: this.#options.incarnation,
      logs,
      clock,
      logger,
      onFatal: this.#fatal,
    });
    const describe = (): StorageNodeHeartbeat => this.#describe(store);
    const heartbeats = new Heartbeats({
      transport: control,
      subjects,
      clock,
      logger,
      intervalMs: heartbeatIntervalMs,
      describe,
    });
    const frames = this.#frames(store);
    const reads = this.#reads(store, logs, frames);
    const listening = [
      ...this.#listen(this.#admission(store, acknowledgements), reads),
      ...this.#listenToRecoveries(store, frames),
    ];
    this.#running = { store, metadata, heartbeats, reads, listening };
    heartbeats.start();
    // Not waited for: the bucket is made by a sequencer, which may wait for this node.
    metadata.start().catch(this.#fatal);
    if (data.status === 'connected') await data.flush();
  }

  /** Stops cleanly: what was received is committed. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    running.heartbeats.stop();
    const released = running.metadata.stop();
    for (const registration of running.listening) registration.cancel();
    await running.reads.close();
    await running.store.close();
    await released;
  }

  #admission(store: SegmentStore, acknowledgements: Acknowledgements): StoreAdmission {
    return new StoreAdmission({
      gates: store.gates,
      directory: store.directory,
      writer: store.writer,
      space: store.space,
      acknowledgements,
      counters: this.counters,
      warnings: this.#warnings,
      crc32: this.#options.crc32,
      acksPrefix: this.#subjects.acksPrefix,
    });
  }

  #frames(store: SegmentStore): FrameReader {
    const { segments, recent, directory } = store;
    const { counters } = this;
    return new FrameReader({
      segments,
      recent,
      directory,
      counters,
      warnings: this.#warnings,
      crc32: this.#options.crc32,
    });
  }

  #reads(store: SegmentStore, logs: LogDirectory, frames: FrameReader): ReadRequests {
    const { data, clock, settings } = this.#options;
    return new ReadRequests({
      counters: this.counters,
      warnings: this.#warnings,
      directory: store.directory,
      nodeId: settings.nodeId,
      gates: store.gates,
      frames,
      transport: data,
      clock,
      logs,
      subjects: this.#subjects,
      onFatal: this.#fatal,
    });
  }

  #listen(admission: StoreAdmission, reads: ReadRequests): Registration[] {
    const { data, settings } = this.#options;
    const { nodeId } = settings;
    const stores = [...this.#subjects.storesTo(nodeId, LIMITS.replicationFactorMax), this.#subjects.resend(nodeId)];
    const receive = this.#guarded((message) => admission.receive(message));
    return [
      ...stores.map((subject) => data.subscribe(subject, receive)),
      data.subscribe(
        this.#subjects.readsTo(nodeId),
        this.#guarded((message) => reads.receive(message)),
      ),
    ];
  }

  /** What a sequencer asks that takes partitions over. Seals come by the control connection: stores do not delay them. */
  #listenToRecoveries(store: SegmentStore, frames: FrameReader): Registration[] {
    const { data, control, settings, incarnation, crc32, clock } = this.#options;
    const { nodeId } = settings;
    const { segments, recent, gates, directory, writer } = store;
    const headers = new HeaderReader({ segments, recent, crc32 });
    const shared = { nodeId, incarnation, gates, directory, writer, crc32, warnings: this.#warnings };
    const seals = new Seals({ ...shared, hasLost: store.hasLost, headers, transport: control, clock });
    const repair = new TailRepair({ ...shared, frames, transport: data });
    return [
      control.subscribe(
        this.#subjects.seal(nodeId),
        this.#guarded((message) => seals.receive(message)),
      ),
      data.subscribe(
        this.#subjects.fetch(nodeId),
        this.#guarded((message) => repair.fetch(message)),
      ),
      data.subscribe(
        this.#subjects.writeBack(nodeId),
        this.#guarded((message) => repair.writeBack(message)),
      ),
    ];
  }

  /** What a handler throws is a programmer's error, or an index that cannot be read: the process must not go on. */
  #guarded(handler: (message: Message) => void): (message: Message) => void {
    return (message) => {
      try {
        handler(message);
      } catch (reason) {
        this.#fatal(reason);
      }
    };
  }

  readonly #fatal = (reason: unknown): void => {
    if (this.#isFatal) return;
    this.#isFatal = true;
    this.#options.onFatal(reason);
  };

  #describe(store: SegmentStore): StorageNodeHeartbeat {
    const { settings, incarnation, residentBytes } = this.#options;
    return {
      role: 'storage-node',
      id: settings.nodeId,
      instance: incarnation,
      zone: settings.zone,
      state: store.space.state,
      startedAtMs: this.#startedAtMs,
      batches: store.directory.count,
      storedRecords: this.counters.storedRecords,
      storedBytes: this.counters.storedBytes,
      segments: store.segmentCount,
      freeBytes: store.space.freeBytes,
      rssBytes: residentBytes(),
    };
  }
}
