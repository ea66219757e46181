/**
 * Buckets of keys with revisions and compare-and-set (JetStream KV). Reads and watches may be stale: nothing is decided
 * from them, every decision is a compare-and-set.
 */
import type { Registration } from './transport.ts';

export interface MetadataEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

export type WriteResult =
  | { readonly kind: 'written'; readonly revision: number }
  /** The key is at another revision (or exists, or does not): nothing was written. */
  | { readonly kind: 'conflict' };

export type MetadataChange =
  | { readonly kind: 'put'; readonly entry: MetadataEntry }
  | { readonly kind: 'deleted'; readonly key: string; readonly revision: number };

export interface WatchHandlers {
  onChange(change: MetadataChange): void;
  /** Everything that existed when the watch began has been reported. */
  onCaughtUp(): void;
}

export interface MetadataStore {
  /** Creates the bucket unless it exists. */
  openBucket(bucket: string, options: { readonly replicas: number }): Promise<void>;
  get(bucket: string, key: string): Promise<MetadataEntry | undefined>;
  /**
   * Writes `value` if the key is at `revision`; 0 means that it must not exist.
   * @throws PyralogError `timeout` or `unavailable`, outcome `unknown`: re-read and compare what was written.
   */
  compareAndSet(bucket: string, key: string, revision: number, value: Uint8Array): Promise<WriteResult>;
  /** Deletes the key if it is at `revision`. Throws as `compareAndSet` does. */
  compareAndDelete(bucket: string, key: string, revision: number): Promise<WriteResult>;
  keys(bucket: string, prefix: string): Promise<string[]>;
  /** Reports what exists, then every change, reconnecting by itself, until cancelled. */
  watch(bucket: string, handlers: WatchHandlers): Promise<Registration>;
}
