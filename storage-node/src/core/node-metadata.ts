/**
 * The node's part in the metadata: it follows the logs, and keeps its own entry in the bucket `cluster`, which says
 * which incarnation of its data it has. Sequencers place batches only on registered nodes.
 *
 * Another incarnation than the registered one means that the data was lost, or that a second process runs under this id
 * on another disk: the newer registration stands, and the older process, which sees it change, must stop. The bucket is
 * made by the sequencers, who may start later, so everything here is tried again until it succeeds.
 */
import {
  Buckets,
  CLUSTER_KEYS,
  type Clock,
  decodeMetadata,
  delay,
  describeError,
  encodeMetadata,
  type Incarnation,
  type Logger,
  type MetadataChange,
  type MetadataStore,
  type NodeRegistration,
  nodeSchema,
  PyralogError,
  type Registration,
  type StorageNodeId,
} from '@pyralog/shared/core';
import type { LogDirectory } from './log-directory.ts';

const RETRY_MS = 250;

export interface NodeMetadataOptions {
  readonly store: MetadataStore;
  readonly clusterName: string;
  readonly nodeId: StorageNodeId;
  readonly incarnation: Incarnation;
  readonly zone: string | undefined;
  readonly logs: LogDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFatal: (reason: unknown) => void;
}

export class NodeMetadata {
  readonly #options: NodeMetadataOptions;
  readonly #bucket: string;
  readonly #key: string;
  #watch: Registration | undefined;
  #starting: Promise<void> | undefined;
  #registered = false;
  #stopped = false;

  constructor(options: NodeMetadataOptions) {
    this.#options = options;
    this.#bucket = new Buckets(options.clusterName).cluster;
    this.#key = CLUSTER_KEYS.node(options.nodeId);
  }

  /** Registers and follows, trying again until it succeeds or `stop` is called. */
  start(): Promise<void> {
    this.#starting = this.#start();
    return this.#starting;
  }

  /** Resolves when nothing more is asked of the metadata. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch?.cancel();
    await this.#starting;
  }

  async #start(): Promise<void> {
    await this.#until('node is not registered yet', () => this.#register());
    await this.#until('logs are not followed yet', () => this.#follow());
  }

  async #until(message: string, attempt: () => Promise<boolean>): Promise<void> {
    const { clock, logger } = this.#options;
    for (let attempts = 1; !this.#stopped; attempts++) {
      try {
        if (await attempt()) return;
      } catch (reason) {
        if (!(reason instanceof PyralogError)) throw reason;
        // The bucket is usually missing for a moment when everything starts together.
        if (attempts % 20 === 0) logger.warn(message, { attempts, problem: describeError(reason) });
      }
      await delay(clock, RETRY_MS);
    }
  }

  /** Whether the entry is as it should be. A conflict or an unknown outcome is read again by the next attempt. */
  async #register(): Promise<boolean> {
    const { store, nodeId, incarnation, zone, clock, logger } = this.#options;
    const entry = await store.get(this.#bucket, this.#key);
    const registered = entry === undefined ? undefined : decodeMetadata(nodeSchema, this.#key, entry.value);
    if (registered?.incarnation === incarnation && registered.zone === zone) {
      this.#registered = true;
      return true;
    }
    if (registered !== undefined && registered.incarnation !== incarnation) {
      logger.warn('node was registered with another incarnation: the data of that one is not here', {
        registered: registered.incarnation,
        incarnation,
      });
    }
    const node: NodeRegistration = { nodeId, incarnation, zone, registeredAtMs: clock.wallMs() };
    const written = await store.compareAndSet(this.#bucket, this.#key, entry?.revision ?? 0, encodeMetadata(node));
    if (written.kind !== 'written') return false;
    logger.info('node is registered', { incarnation, zone });
    this.#registered = true;
    return true;
  }

  async #follow(): Promise<boolean> {
    const { store, logs, logger } = this.#options;
    const watch = await store.watch(this.#bucket, {
      onChange: (change) => {
        logs.apply(change);
        this.#noticeRival(change);
      },
      onCaughtUp: () => logger.debug('logs are known'),
    });
    if (this.#stopped) watch.cancel();
    this.#watch = watch;
    return true;
  }

  #noticeRival(change: MetadataChange): void {
    if (!this.#registered || change.kind !== 'put' || change.entry.key !== this.#key) return;
    const { incarnation, nodeId, logger, onFatal } = this.#options;
    let registered: NodeRegistration;
    try {
      registered = decodeMetadata(nodeSchema, this.#key, change.entry.value);
    } catch (reason) {
      logger.error('own registration is not readable in the metadata', { problem: describeError(reason) });
      return;
    }
    if (registered.incarnation === incarnation) return;
    onFatal(
      new PyralogError({
        code: 'fenced',
        message: 'another process registered under this id with another data directory',
        fields: { nodeId, incarnation, registered: registered.incarnation },
      }),
    );
  }
}
