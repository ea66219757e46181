/**
 * The `BatchIndex` port on LMDB: one environment, the databases of `index-keys.ts`.
 *
 * Every transaction is synced, and runs on a thread of its own; lmdb-js' overlapping syncs are off, so that a promise
 * that resolves means durable. LMDB without syncs could be torn by a power cut in any page, and has no checksums to
 * tell; how often transactions come is the caller's business.
 */
import { statfs } from 'node:fs/promises';
import {
  type BatchIndex,
  type BatchLocation,
  type Checkpoint,
  describeError,
  type Epoch,
  type IndexCommit,
  type Offset,
  type PartitionId,
  type PartitionState,
  PyralogError,
  type RangeQuery,
} from '@pyralog/shared/core';
import { type Database, open, type RootDatabase } from 'lmdb';
import { z } from 'zod';
import {
  batchKey,
  batchLocation,
  batchValue,
  checkpointOf,
  checkpointValue,
  numberKey,
  partitionState,
  partitionValue,
} from './index-keys.ts';

type BinaryDatabase = Database<Buffer, Buffer>;

const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;
/** Synced one after another, each holding what one `batch` call puts into it and no more. */
const TRANSACTIONS = { overlappingSync: false, eventTurnBatching: false, noMemInit: true } as const;
const CHECKPOINT = Buffer.from('checkpoint');
const IDENTITY = Buffer.from('identity');
const OFFSET_MAX = Number.MAX_SAFE_INTEGER;
const EPOCH_MAX = 0xffff_ffff;
/** A commit that fails with less than this free failed for want of space: LMDB reports a short write as an I/O error. */
const FULL_BELOW_BYTES = 4 * 1024 * 1024;
/** Entries removed by one transaction. */
const REMOVE_ENTRIES = 10_000;

const statsSchema = z.object({ entryCount: z.number() });

export class LmdbBatchIndex implements BatchIndex {
  readonly #directory: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #batches: BinaryDatabase;
  readonly #partitions: BinaryDatabase;
  readonly #segments: BinaryDatabase;
  readonly #meta: BinaryDatabase;
  readonly #onDistrust: () => void;
  readonly #knownSegments: Set<number>;

  /** Opens or creates. @throws whatever LMDB throws when the files are damaged. */
  constructor(directory: string, onDistrust: () => void) {
    this.#directory = directory;
    this.#onDistrust = onDistrust;
    this.#root = open<Buffer, Buffer>({ path: directory, ...BINARY, ...TRANSACTIONS, maxDbs: 8 });
    this.#batches = this.#root.openDB<Buffer, Buffer>({ name: 'batches', ...BINARY });
    this.#partitions = this.#root.openDB<Buffer, Buffer>({ name: 'partitions', ...BINARY });
    this.#segments = this.#root.openDB<Buffer, Buffer>({ name: 'segments', ...BINARY });
    this.#meta = this.#root.openDB<Buffer, Buffer>({ name: 'meta', ...BINARY });
    this.#knownSegments = new Set(this.segmentIds());
  }

  /** What `setIdentity` wrote; `undefined` when the index is new. */
  get identity(): string | undefined {
    return this.#meta.get(IDENTITY)?.toString();
  }

  async setIdentity(identity: string): Promise<void> {
    await this.#transaction((write) => write(this.#meta, IDENTITY, Buffer.from(identity)));
  }

  async commit(commit: IndexCommit): Promise<void> {
    await this.#transaction((write) => {
      for (const batch of commit.batches) {
        write(this.#batches, batchKey(batch.partitionId, batch.epoch, batch.baseOffset), batchValue(batch));
        if (this.#knownSegments.has(batch.segmentId)) continue;
        write(this.#segments, numberKey(batch.segmentId), Buffer.alloc(0));
        this.#knownSegments.add(batch.segmentId);
      }
      for (const state of commit.partitions)
        write(this.#partitions, numberKey(state.partitionId), partitionValue(state));
      write(this.#meta, CHECKPOINT, checkpointValue(commit.checkpoint));
    });
  }

  readCheckpoint(): Checkpoint | undefined {
    const value = this.#meta.get(CHECKPOINT);
    return value === undefined ? undefined : checkpointOf(value);
  }

  *partitions(): Iterable<PartitionState> {
    for (const { key, value } of this.#partitions.getRange()) yield partitionState(key, value);
  }

  find(partitionId: PartitionId, epoch: Epoch, offset: Offset): BatchLocation | undefined {
    const candidate = this.#atOrBefore(partitionId, epoch, offset);
    return candidate !== undefined && offset < candidate.baseOffset + candidate.recordCount ? candidate : undefined;
  }

  last(partitionId: PartitionId, epoch: Epoch): BatchLocation | undefined {
    return this.#atOrBefore(partitionId, epoch, OFFSET_MAX);
  }

  lastOf(partitionId: PartitionId): BatchLocation | undefined {
    const start = batchKey(partitionId, EPOCH_MAX, OFFSET_MAX);
    for (const { key, value } of this.#batches.getRange({ start, reverse: true, limit: 1 })) {
      const location = batchLocation(key, value);
      return location.partitionId === partitionId ? location : undefined;
    }
    return undefined;
  }

  range(query: RangeQuery): BatchLocation[] {
    const { partitionId, epoch, from, until, limit } = query;
    if (from >= until) return [];
    const start = this.find(partitionId, epoch, from)?.baseOffset ?? from;
    const entries = this.#batches.getRange({
      start: batchKey(partitionId, epoch, start),
      end: batchKey(partitionId, epoch, until),
      limit,
    });
    const found: BatchLocation[] = [];
    for (const { key, value } of entries) found.push(batchLocation(key, value));
    return found;
  }

  segmentIds(): number[] {
    const ids: number[] = [];
    for (const key of this.#segments.getKeys()) ids.push(key.readUInt32BE(0));
    return ids;
  }

  async removeSegment(segmentId: number): Promise<void> {
    let keys: Buffer[] = [];
    const remove = async (): Promise<void> => {
      const batch = keys;
      keys = [];
      await this.#transaction((_, erase) => {
        for (const key of batch) erase(this.#batches, key);
      });
    };
    for (const { key, value } of this.#batches.getRange()) {
      if (batchLocation(key, value).segmentId !== segmentId) continue;
      keys.push(key);
      if (keys.length >= REMOVE_ENTRIES) await remove();
    }
    await remove();
    await this.#transaction((_, erase) => erase(this.#segments, numberKey(segmentId)));
    this.#knownSegments.delete(segmentId);
  }

  count(): number {
    return statsSchema.parse(this.#batches.getStats()).entryCount;
  }

  distrust(): void {
    this.#onDistrust();
  }

  async close(): Promise<void> {
    await this.#root.close();
  }

  #atOrBefore(partitionId: PartitionId, epoch: Epoch, offset: number): BatchLocation | undefined {
    const entries = this.#batches.getRange({ start: batchKey(partitionId, epoch, offset), reverse: true, limit: 1 });
    for (const { key, value } of entries) {
      const location = batchLocation(key, value);
      return location.partitionId === partitionId && location.epoch === epoch ? location : undefined;
    }
    return undefined;
  }

  /** One transaction of what `work` writes and erases; resolves when it is durable. */
  async #transaction(
    work: (
      write: (database: BinaryDatabase, key: Buffer, value: Buffer) => void,
      erase: (database: BinaryDatabase, key: Buffer) => void,
    ) => void,
  ): Promise<void> {
    const operations = new Set<Promise<boolean>>();
    try {
      await this.#root.batch(() => {
        work(
          (database, key, value) => void operations.add(database.put(key, value)),
          (database, key) => void operations.add(database.remove(key)),
        );
        // They fail with the transaction, whose failure is dealt with below.
        for (const operation of operations) operation.catch(ignore);
      });
    } catch (cause) {
      throw await this.#translate(cause);
    }
  }

  async #translate(cause: unknown): Promise<PyralogError> {
    const reason: unknown = cause instanceof Error && 'commitError' in cause ? await settled(cause.commitError) : cause;
    const fields = { directory: this.#directory, problem: describeError(reason) };
    const { bavail, bsize } = await statfs(this.#directory);
    if (bavail * bsize < FULL_BELOW_BYTES)
      return new PyralogError({ code: 'read-only', message: 'disk is full', fields, cause: reason });
    return new PyralogError({ code: 'unavailable', message: 'index cannot be written', fields, cause: reason });
  }
}

function ignore(): void {
  // Handled where the transaction is awaited.
}

/** lmdb-js says why a commit failed by a promise that rejects. */
async function settled(promise: unknown): Promise<unknown> {
  try {
    return await promise;
  } catch (reason) {
    return reason;
  }
}
