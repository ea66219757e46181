/**
 * The cluster's metadata in memory, kept fresh by watches: logs, storage nodes, partition records. It may be stale: it
 * says what to try and what to tell clients, and every decision is a compare-and-set against the store.
 */
import {
  assert,
  type Buckets,
  bytesEqual,
  CLUSTER_KEYS,
  type ClusterConfig,
  clusterConfigSchema,
  decodeMetadata,
  describeError,
  encodeMetadata,
  formatLogName,
  type LogConfig,
  type Logger,
  type LogName,
  logSchema,
  type MetadataChange,
  type MetadataStore,
  type NodeRegistration,
  nodeSchema,
  PARTITION_KEY_PREFIX,
  type PartitionId,
  type PartitionRecord,
  PyralogError,
  partitionKey,
  partitionRecordSchema,
  type Registration,
} from '@pyralog/shared/core';

export interface PartitionOfLog {
  readonly log: LogConfig;
  /** Number within the log. */
  readonly partition: number;
}

export interface StoredRecord {
  /** `undefined` when nobody has opened an epoch of the partition yet. */
  readonly record: PartitionRecord | undefined;
  readonly revision: number;
}

/** A record that exists. */
export interface KnownRecord extends StoredRecord {
  readonly record: PartitionRecord;
}

export class MetadataView {
  readonly store: MetadataStore;
  readonly buckets: Buckets;
  readonly #logger: Logger;
  readonly #onChange: () => void;
  readonly #logs = new Map<string, LogConfig>();
  readonly #partitions = new Map<PartitionId, PartitionOfLog>();
  readonly #nodes = new Map<string, NodeRegistration>();
  readonly #records = new Map<PartitionId, StoredRecord>();
  /** What is being written, so that it is not decoded when the watch reports it. */
  readonly #writing = new Map<PartitionId, { readonly record: PartitionRecord; readonly value: Uint8Array }>();
  readonly #watches: Registration[] = [];
  #config: ClusterConfig | undefined;

  constructor(options: { store: MetadataStore; buckets: Buckets; logger: Logger; onChange: () => void }) {
    this.store = options.store;
    this.buckets = options.buckets;
    this.#logger = options.logger;
    this.#onChange = options.onChange;
  }

  /** Creates what the cluster needs unless it exists, then reads everything and keeps watching. */
  async open(options: { epochShards: number; replicas: number }): Promise<void> {
    const bucketOptions = { replicas: options.replicas };
    await this.store.openBucket(this.buckets.cluster, bucketOptions);
    this.#config = await this.#agreeOnConfig({ formatVersion: 1, epochShards: options.epochShards });
    for (let shard = 0; shard < this.#config.epochShards; shard++) {
      await this.store.openBucket(this.buckets.epochs(shard), bucketOptions);
    }
    await this.#watch(this.buckets.cluster, (change) => this.#clusterChanged(change));
    for (let shard = 0; shard < this.#config.epochShards; shard++) {
      await this.#watch(this.buckets.epochs(shard), (change) => this.#recordChanged(change));
    }
  }

  close(): void {
    for (const watch of this.#watches) watch.cancel();
  }

  get config(): ClusterConfig {
    assert(this.#config !== undefined, 'metadata is not open');
    return this.#config;
  }

  logs(): IterableIterator<LogConfig> {
    return this.#logs.values();
  }

  log(name: LogName): LogConfig | undefined {
    return this.#logs.get(formatLogName(name));
  }

  /** Asks the store: a log that another sequencer created a moment ago may not be in the view yet. */
  async fetchLog(name: LogName): Promise<LogConfig | undefined> {
    const key = CLUSTER_KEYS.log(name);
    const entry = await this.store.get(this.buckets.cluster, key);
    return entry === undefined ? undefined : decodeMetadata(logSchema, key, entry.value);
  }

  partition(partitionId: PartitionId): PartitionOfLog | undefined {
    return this.#partitions.get(partitionId);
  }

  partitions(): IterableIterator<[PartitionId, PartitionOfLog]> {
    return this.#partitions.entries();
  }

  nodes(): IterableIterator<NodeRegistration> {
    return this.#nodes.values();
  }

  node(id: string): NodeRegistration | undefined {
    return this.#nodes.get(id);
  }

  record(partitionId: PartitionId): PartitionRecord | undefined {
    return this.#records.get(partitionId)?.record;
  }

  /** What was heard of the record last. Enough for a compare-and-set: when it is stale, that is refused. */
  knownRecord(partitionId: PartitionId): StoredRecord | undefined {
    return this.#records.get(partitionId);
  }

  recordBucket(partitionId: PartitionId): string {
    return this.buckets.epochsOf(partitionId, this.config);
  }

  async fetchRecord(partitionId: PartitionId): Promise<StoredRecord> {
    const key = partitionKey(partitionId);
    const entry = await this.store.get(this.recordBucket(partitionId), key);
    if (entry === undefined) return { record: undefined, revision: 0 };
    return { record: decodeMetadata(partitionRecordSchema, key, entry.value), revision: entry.revision };
  }

  /**
   * Writes a partition record by compare-and-set. When the store does not say what became of it, the record is read
   * again and `isWritten` tells whether it is ours.
   * @returns the record as it is stored, which others may have changed since, or `undefined` when it was not written.
   */
  async writeRecord(options: {
    record: PartitionRecord;
    revision: number;
    isWritten: (stored: PartitionRecord) => boolean;
  }): Promise<KnownRecord | undefined> {
    const { record, revision, isWritten } = options;
    const key = partitionKey(record.partitionId);
    const bucket = this.recordBucket(record.partitionId);
    const own = { record, value: encodeMetadata(record) };
    this.#writing.set(record.partitionId, own);
    try {
      const result = await this.store.compareAndSet(bucket, key, revision, own.value);
      if (result.kind === 'conflict') return undefined;
      this.#learn(record.partitionId, { record, revision: result.revision });
      return { record, revision: result.revision };
    } catch (error) {
      if (!(error instanceof PyralogError) || error.outcome !== 'unknown') throw error;
      const stored = await this.fetchRecord(record.partitionId);
      if (stored.record === undefined || !isWritten(stored.record)) return undefined;
      this.#learn(record.partitionId, stored);
      return { record: stored.record, revision: stored.revision };
    } finally {
      if (this.#writing.get(record.partitionId) === own) this.#writing.delete(record.partitionId);
    }
  }

  /** Keeps the newest: a watch may report an older revision than this process has written. */
  #learn(partitionId: PartitionId, stored: StoredRecord): void {
    const known = this.#records.get(partitionId);
    if (known === undefined || known.revision < stored.revision) this.#records.set(partitionId, stored);
  }

  async #agreeOnConfig(wanted: ClusterConfig): Promise<ClusterConfig> {
    const created = await this.store.compareAndSet(
      this.buckets.cluster,
      CLUSTER_KEYS.config,
      0,
      encodeMetadata(wanted),
    );
    if (created.kind === 'written') return wanted;
    const entry = await this.store.get(this.buckets.cluster, CLUSTER_KEYS.config);
    if (entry === undefined) throw new PyralogError({ code: 'unavailable', message: 'cluster configuration vanished' });
    return decodeMetadata(clusterConfigSchema, CLUSTER_KEYS.config, entry.value);
  }

  /** Watches `bucket`; resolves when everything that exists was reported. */
  async #watch(bucket: string, onChange: (change: MetadataChange) => void): Promise<void> {
    let caughtUp = (): void => {};
    const ready = new Promise<void>((resolve) => {
      caughtUp = resolve;
    });
    const watch = await this.store.watch(bucket, {
      onChange: (change) => {
        try {
          onChange(change);
        } catch (error) {
          if (!(error instanceof PyralogError)) throw error;
          this.#logger.error('metadata is damaged; it is left out', { bucket, problem: describeError(error) });
        }
        this.#onChange();
      },
      onCaughtUp: caughtUp,
    });
    this.#watches.push(watch);
    await ready;
  }

  #clusterChanged(change: MetadataChange): void {
    const key = change.kind === 'put' ? change.entry.key : change.key;
    if (key.startsWith(CLUSTER_KEYS.logPrefix)) this.#logChanged(key, change);
    else if (key.startsWith(CLUSTER_KEYS.nodePrefix)) this.#nodeChanged(key, change);
  }

  #logChanged(key: string, change: MetadataChange): void {
    const [namespace = '', ...name] = key.slice(CLUSTER_KEYS.logPrefix.length).split('.');
    const logName = formatLogName({ namespace, name: name.join('.') });
    const old = this.#logs.get(logName);
    if (old !== undefined) {
      this.#logs.delete(logName);
      for (let index = 0; index < old.partitionCount; index++) {
        this.#partitions.delete((old.firstPartitionId + index) as PartitionId);
      }
    }
    if (change.kind === 'deleted') return;
    const log = decodeMetadata(logSchema, key, change.entry.value);
    this.#logs.set(logName, log);
    for (let partition = 0; partition < log.partitionCount; partition++) {
      this.#partitions.set((log.firstPartitionId + partition) as PartitionId, { log, partition });
    }
  }

  #nodeChanged(key: string, change: MetadataChange): void {
    const id = key.slice(CLUSTER_KEYS.nodePrefix.length);
    if (change.kind === 'deleted') this.#nodes.delete(id);
    else this.#nodes.set(id, decodeMetadata(nodeSchema, key, change.entry.value));
  }

  #recordChanged(change: MetadataChange): void {
    const key = change.kind === 'put' ? change.entry.key : change.key;
    if (!key.startsWith(PARTITION_KEY_PREFIX)) return;
    const partitionId = Number(key.slice(PARTITION_KEY_PREFIX.length)) as PartitionId;
    if (change.kind === 'deleted') {
      this.#records.delete(partitionId);
    } else {
      const { value, revision } = change.entry;
      // Most changes are this process' own, reported shortly before or after the write is answered.
      if (revision <= (this.#records.get(partitionId)?.revision ?? 0)) return;
      const own = this.#writing.get(partitionId);
      const isOwn = own !== undefined && bytesEqual(own.value, value);
      const record = isOwn ? own.record : decodeMetadata(partitionRecordSchema, key, value);
      this.#learn(partitionId, { record, revision });
    }
  }
}
