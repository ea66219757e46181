/**
 * Who was heard of lately. A hint for placement, ownership and resends; safety never rests on it.
 */
import type { Clock, Heartbeat, SequencerHeartbeat, SequencerId, StorageNodeHeartbeat } from '@pyralog/shared/core';

/** Processes remembered; a process that has been silent for long leaves first. */
const PROCESSES_MAX = 4_096;
/** A silent process is shown in the status for this long. */
/** Longer than a drain may take. */
const DRAINED_AFTER_MS = 10_000;
const FORGET_AFTER_MS = 15 * 60 * 1_000;

export interface HeardProcess {
  readonly heartbeat: Heartbeat;
  readonly heardAtMs: number;
  /** When this instance was first heard in this state, without interruption since. */
  readonly knownSinceMs: number;
  /** NATS says that nobody listens under its id. */
  readonly gone: boolean;
}

export class Liveness {
  readonly #clock: Clock;
  readonly #suspectAfterMs: number;
  readonly #heard = new Map<string, HeardProcess>();
  readonly #startedAtMs: number;
  /** Who is live changes: `sequencer/…` and `storage-node/…` keys, as of the last `refresh`. */
  #live = new Set<string>();
  #changedAtMs: number;

  constructor(clock: Clock, suspectAfterMs: number) {
    this.#clock = clock;
    this.#suspectAfterMs = suspectAfterMs;
    this.#startedAtMs = clock.monotonicMs();
    this.#changedAtMs = this.#startedAtMs;
  }

  /** When the set of live processes last changed, monotonic milliseconds. */
  get changedAtMs(): number {
    return this.#changedAtMs;
  }

  heard(heartbeat: Heartbeat): void {
    const key = `${heartbeat.role}/${heartbeat.id}`;
    if (!this.#heard.has(key) && this.#heard.size >= PROCESSES_MAX) return;
    const now = this.#clock.monotonicMs();
    const known = this.#heard.get(key);
    const same = known?.heartbeat.instance === heartbeat.instance && known.heartbeat.state === heartbeat.state;
    const knownSinceMs = same && this.isLive(known) ? known.knownSinceMs : now;
    this.#heard.set(key, { heartbeat, heardAtMs: now, knownSinceMs, gone: false });
  }

  /** Takes notice that nobody answers for the process: it is not live until it is heard again. */
  goneSince(process: HeardProcess): void {
    const key = `${process.heartbeat.role}/${process.heartbeat.id}`;
    if (this.#heard.get(key) === process) this.#heard.set(key, { ...process, gone: true });
  }

  /** Live sequencers, other than `self`, that have been silent for longer than `silentMs`. */
  silentSequencers(self: SequencerId, silentMs: number): HeardProcess[] {
    return [...this.#heard.values()].filter(
      (process) =>
        process.heartbeat.role === 'sequencer' &&
        process.heartbeat.id !== self &&
        this.isLive(process) &&
        this.silentMs(process) > silentMs,
    );
  }

  /** Recomputes who is live. Returns whether that changed (a process appeared, vanished or changed its state). */
  refresh(): boolean {
    const now = this.#clock.monotonicMs();
    const live = new Set<string>();
    for (const [key, process] of this.#heard) {
      const silentMs = now - process.heardAtMs;
      if (silentMs > FORGET_AFTER_MS) this.#heard.delete(key);
      else if (this.isLive(process)) live.add(`${key} ${process.heartbeat.state} ${process.heartbeat.instance}`);
    }
    const changed = live.size !== this.#live.size || [...live].some((key) => !this.#live.has(key));
    if (changed) this.#changedAtMs = now;
    this.#live = live;
    return changed;
  }

  isLive(process: HeardProcess): boolean {
    return !process.gone && this.silentMs(process) <= this.#suspectAfterMs;
  }

  silentMs(process: HeardProcess): number {
    return this.#clock.monotonicMs() - process.heardAtMs;
  }

  processes(): IterableIterator<HeardProcess> {
    return this.#heard.values();
  }

  /** Whether a sequencer lives and may hold what is open under its id: one that drains has handed it over, after a while. */
  holdsPartitions(id: SequencerId): boolean {
    const process = this.#heard.get(`sequencer/${id}`);
    if (process === undefined || !this.isLive(process)) return false;
    return process.heartbeat.state === 'serving' || this.#clock.monotonicMs() - process.knownSinceMs < DRAINED_AFTER_MS;
  }

  isSequencerLive(id: SequencerId): boolean {
    const process = this.#heard.get(`sequencer/${id}`);
    return process !== undefined && this.isLive(process);
  }

  isStorageNodeLive(id: string): boolean {
    const process = this.#heard.get(`storage-node/${id}`);
    return process !== undefined && this.isLive(process);
  }

  /** How long the node has not been heard of; since the start of this process when never. */
  storageNodeSilentMs(id: string): number {
    const process = this.#heard.get(`storage-node/${id}`);
    return this.#clock.monotonicMs() - (process?.heardAtMs ?? this.#startedAtMs);
  }

  /** Live sequencers that take partitions. */
  servingSequencers(): SequencerHeartbeat[] {
    const serving: SequencerHeartbeat[] = [];
    for (const process of this.#heard.values()) {
      const { heartbeat } = process;
      if (heartbeat.role === 'sequencer' && heartbeat.state === 'serving' && this.isLive(process))
        serving.push(heartbeat);
    }
    return serving;
  }

  /** How long a live storage node has been heard without interruption. */
  storageNodeKnownMs(id: string): number {
    const process = this.#heard.get(`storage-node/${id}`);
    return process === undefined ? 0 : this.#clock.monotonicMs() - process.knownSinceMs;
  }

  /** Live storage nodes that take stores. */
  servingStorageNodes(): StorageNodeHeartbeat[] {
    const serving: StorageNodeHeartbeat[] = [];
    for (const process of this.#heard.values()) {
      const { heartbeat } = process;
      if (heartbeat.role === 'storage-node' && heartbeat.state === 'serving' && this.isLive(process))
        serving.push(heartbeat);
    }
    return serving;
  }
}
