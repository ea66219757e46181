/**
 * What the client knows of its logs: who owns each partition and where its records are. Learned from any sequencer, kept
 * for as long as a producer or reader uses the log, asked for again when it proved stale or a hint says that it changed. A
 * hint that names a new owner is believed until then, so that appends need not wait for the answer.
 *
 * Invariants. At most one fetch of a log is under way. Fetches that bring no help grow apart, up to a bound. A sequencer that
 * lags behind does not replace what is newer, partition by partition; what sequencers keep saying for longer than they could
 * lag is believed all the same, since it decides what works.
 */
import {
  decodeMessage,
  type Fragment,
  formatLogName,
  type LogName,
  type LogTopology,
  type PartitionTopology,
  PyralogError,
  type Registration,
  type Timer,
  type TopologyHint,
  topologyHintSchema,
  topologyReplySchema,
} from '@pyralog/shared/core';
import { askSequencers } from './ask.ts';
import { Backoff } from './backoff.ts';
import type { ClientPorts } from './ports.ts';
import { SETTINGS } from './settings.ts';

/** A fetch brought help when nobody asked again for so long. */
const QUIET_MS = 5_000;

export class Topologies {
  readonly #ports: ClientPorts;
  readonly #logs = new Map<string, CachedTopology>();
  readonly #status: Registration;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
    this.#status = ports.transport.onStatus((status) => {
      if (status !== 'connected') return;
      for (const topology of this.#logs.values()) topology.hinted();
    });
  }

  /** The knowledge of one log. Whoever opens it calls `release` once. */
  open(log: LogName): CachedTopology {
    const name = formatLogName(log);
    let topology = this.#logs.get(name);
    if (topology === undefined) {
      topology = new CachedTopology(this.#ports, log, () => this.#logs.delete(name));
      this.#logs.set(name, topology);
    }
    topology.retain();
    return topology;
  }

  close(): void {
    this.#status.cancel();
  }
}

/**
 * Every partition of a log, in order. Another object after every fetch, and when hints name new owners: then `lastEpoch` is
 * ahead of the fragments until the next fetch.
 */
export type LogView = LogTopology;

export class CachedTopology {
  readonly log: LogName;
  readonly #ports: ClientPorts;
  readonly #onUnused: () => void;
  readonly #backoff: Backoff;
  readonly #listeners = new Set<() => void>();
  #hints: Registration | undefined;
  #view: LogView | undefined;
  #fetching: Promise<LogView> | undefined;
  #lastFetchEndMs = Number.NEGATIVE_INFINITY;
  #hintTimer: Timer | undefined;
  #users = 0;
  /** Owners named by hints that are not in the view yet, by partition. */
  readonly #named = new Map<number, Required<Pick<TopologyHint, 'epoch' | 'sequencerId'>>>();
  /** Since when only older knowledge of a partition was fetched. */
  readonly #olderSinceMs = new Map<number, number>();

  constructor(ports: ClientPorts, log: LogName, onUnused: () => void) {
    this.log = log;
    this.#ports = ports;
    this.#onUnused = onUnused;
    const { topologyDelayMsMin: delayMsMin, topologyDelayMsMax: delayMsMax } = SETTINGS;
    this.#backoff = new Backoff(ports.random, { delayMsMin, delayMsMax });
  }

  retain(): void {
    this.#users++;
    if (this.#users > 1) return;
    const { transport, subjects } = this.#ports;
    const subject = subjects.topology(this.log.namespace, this.log.name);
    this.#hints = transport.subscribe(subject, (message) => this.#heard(message.payload));
  }

  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    this.#hints?.cancel();
    this.#hintTimer?.cancel();
    this.#hintTimer = undefined;
    this.#onUnused();
  }

  /** What is known now. */
  get view(): LogView | undefined {
    return this.#view;
  }

  /** What is known, fetched if nothing is. @throws PyralogError `invalid` (no such log), `unavailable`, `timeout`. */
  async get(): Promise<LogView> {
    return this.#view ?? this.#fetch();
  }

  /** Newer knowledge than `seen`, which proved stale. Throws as `get` does. */
  async refresh(seen: LogView | undefined): Promise<LogView> {
    if (this.#view !== undefined && this.#view !== seen) return this.#view;
    return this.#fetch();
  }

  /** Calls `listener` after every change of `view`. */
  onChange(listener: () => void): Registration {
    this.#listeners.add(listener);
    return { cancel: () => this.#listeners.delete(listener) };
  }

  /** A hint that names the owner is believed at once, since appends wait for it. The rest is asked for. */
  #heard(payload: Uint8Array): void {
    const hint = readHint(payload);
    if (hint?.sequencerId === undefined || this.#view === undefined) {
      this.hinted();
      return;
    }
    if (this.#named.size === 0) this.#ports.clock.defer(() => this.#believe());
    this.#named.set(hint.partition, { epoch: hint.epoch, sequencerId: hint.sequencerId });
    this.hinted(SETTINGS.topologyNamedDelayMs);
  }

  #believe(): void {
    const partitions = [...(this.#view?.partitions ?? [])];
    let isNews = false;
    for (const [index, { epoch, sequencerId }] of this.#named) {
      const known = partitions[index];
      if (known === undefined || epoch <= known.lastEpoch) continue;
      partitions[index] = { ...known, state: 'serving', sequencerId, lastEpoch: epoch };
      isNews = true;
    }
    this.#named.clear();
    if (!isNews || this.#view === undefined) return;
    this.#view = { log: this.#view.log, partitions };
    for (const listener of [...this.#listeners]) listener();
  }

  /** Something changed: fetch within `delayMs`, together with whatever else changes meanwhile. */
  hinted(delayMs: number = SETTINGS.topologyHintDelayMs): void {
    if (this.#hintTimer !== undefined || this.#users === 0) return;
    const { clock, random, logger } = this.#ports;
    this.#hintTimer = clock.schedule(delayMs * random.fraction(), () => {
      this.#hintTimer = undefined;
      // A fetch that is under way may have been answered before the change.
      const before = this.#fetching ?? Promise.resolve();
      before
        .catch(() => undefined)
        .then(() => (this.#users > 0 ? this.#fetch() : undefined))
        .catch((error: unknown) =>
          logger.debug('topology could not be refreshed', { log: formatLogName(this.log), error }),
        );
    });
  }

  #fetch(): Promise<LogView> {
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined;
      this.#lastFetchEndMs = this.#ports.clock.monotonicMs();
    });
    return this.#fetching;
  }

  async #fetchNow(): Promise<LogView> {
    const { clock } = this.#ports;
    const sinceMs = clock.monotonicMs() - this.#lastFetchEndMs;
    if (sinceMs > QUIET_MS) this.#backoff.reset();
    else {
      const waitMs = this.#backoff.next() - sinceMs;
      if (waitMs > 0) await new Promise<void>((resolve) => clock.schedule(waitMs, resolve));
    }
    const fetched = await fetchTopology(this.#ports, this.log);
    this.#view = this.#view === undefined ? fetched : this.#newest(this.#view, fetched);
    for (const listener of [...this.#listeners]) listener();
    return this.#view;
  }

  #newest(known: LogView, fetched: LogView): LogView {
    // Another first partition: the log was deleted and created again, under higher ids.
    if (known.log.firstPartitionId !== fetched.log.firstPartitionId) {
      this.#olderSinceMs.clear();
      return known.log.firstPartitionId > fetched.log.firstPartitionId ? known : fetched;
    }
    const nowMs = this.#ports.clock.monotonicMs();
    const partitions = fetched.partitions.map((partition, index) => {
      const before = known.partitions[index];
      if (before === undefined || !isNewer(before, partition)) {
        this.#olderSinceMs.delete(index);
        return partition;
      }
      const sinceMs = this.#olderSinceMs.get(index) ?? nowMs;
      this.#olderSinceMs.set(index, sinceMs);
      return nowMs - sinceMs < SETTINGS.topologyLagMsMax ? before : partition;
    });
    return { log: fetched.log, partitions };
  }
}

/**
 * Asks any sequencer for all partitions of a log, page by page.
 * @throws PyralogError `invalid` when there is no such log, `unavailable`, `timeout`.
 */
export async function fetchTopology(ports: ClientPorts, log: LogName): Promise<LogView> {
  const partitions: PartitionTopology[] = [];
  for (;;) {
    const page = await askSequencers(ports, {
      subject: ports.subjects.admin(log.namespace),
      request: { op: 'topology', name: log.name, from: partitions.length },
      schema: topologyReplySchema,
      isReadOnly: true,
    });
    const { firstPartitionId, partitionCount } = page.log;
    const expected = page.partitions.every(
      ({ partition, partitionId }, index) =>
        partition === partitions.length + index &&
        partitionId === firstPartitionId + partition &&
        partition < partitionCount,
    );
    const first = partitions[0];
    if (!expected || page.partitions.length === 0 || (first !== undefined && first.partitionId !== firstPartitionId)) {
      throw new PyralogError({
        code: 'unavailable',
        message: 'topology does not hold the partitions that were asked for',
        retry: 'same',
        fields: { log: formatLogName(log), from: partitions.length },
      });
    }
    partitions.push(...page.partitions);
    if (partitions.length >= partitionCount) return { log: page.log, partitions };
  }
}

function isNewer(a: PartitionTopology, b: PartitionTopology): boolean {
  if (a.lastEpoch !== b.lastEpoch) return a.lastEpoch > b.lastEpoch;
  if (isOpen(a) !== isOpen(b)) return !isOpen(a);
  return a.trimPoint > b.trimPoint;
}

/** Also when a hint named the owner, and its fragment is not known yet. */
function isOpen(partition: PartitionTopology): boolean {
  const last: Fragment | undefined = partition.fragments.at(-1);
  return partition.sequencerId !== undefined || (last !== undefined && last.end === undefined);
}

/** A hint that cannot be read says no more than that something changed. */
function readHint(payload: Uint8Array): TopologyHint | undefined {
  try {
    return decodeMessage(topologyHintSchema, payload);
  } catch (error) {
    if (error instanceof PyralogError) return undefined;
    throw error;
  }
}
