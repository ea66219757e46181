/**
 * Follows an open fragment: catches up from storage nodes, joins the tail, fills its gaps, until the fragment is closed and
 * read to its end, or the tail is left.
 *
 * The tail is subscribed to before the released offset is asked for, so nothing falls between the two. What the owner may
 * have said in messages that were lost is asked for again: soon when batches wait for their release, later when nothing is
 * heard at all.
 */
import type { Fragment, LogTopology, Offset } from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import type { Closing } from '../closing.ts';
import { SETTINGS } from '../settings.ts';
import { Wake } from '../wake.ts';
import type { FragmentReader } from './fragment-reader.ts';
import { askOnce, findReleasedOffset } from './released-offset.ts';
import type { StoredBatch } from './stored-batch.ts';
import { Tail } from './tail.ts';

/** The partition's reading, as `follow` drives it. */
export interface FollowedPartition {
  readonly position: Offset;
  readonly closing: Closing;
  hasRoom(): boolean;
  onRoom(listener: () => void): { cancel(): void };
  deliver(batch: StoredBatch): void;
  /** Reads from storage nodes. @throws PyralogError `trimmed`. */
  catchUp(reader: FragmentReader, until: Offset): Promise<void>;
}

/** Returns when the partition's metadata must be looked at again, or the reader was closed. */
export async function follow(partition: FollowedPartition, reader: FragmentReader): Promise<void> {
  const { closing } = partition;
  const released = await findReleasedOffset(reader.context, { partition: reader.partition, closing, patienceMs: 0 });
  if (released === undefined) return;
  // From far behind, the tail would only overflow meanwhile.
  const until = Math.min(released, currentFragment(reader)?.end ?? released) as Offset;
  if (partition.position < until) await partition.catchUp(reader, until);
  if (closing.isClosed || currentFragment(reader)?.end !== undefined) return;
  const live = new LiveTail(partition, reader);
  try {
    await live.run();
  } finally {
    live.close();
  }
}

/** The fragment as it is known now: perhaps closed; `undefined` when it was closed empty. */
function currentFragment(reader: FragmentReader): Fragment | undefined {
  const described = reader.context.topology.view?.partitions[reader.partition];
  return described?.fragments.find((fragment) => fragment.epoch === reader.fragment.epoch);
}

class LiveTail {
  readonly #partition: FollowedPartition;
  readonly #reader: FragmentReader;
  readonly #wake = new Wake();
  readonly #tail: Tail;
  readonly #backoff: Backoff;
  readonly #registrations: { cancel(): void }[];
  #isAsking = false;
  #wasHolding = false;
  #nextAskMs: number;
  #gapSinceMs: number | undefined;
  /** The view in which the epoch was looked up after a newer one was seen. */
  #checkedView: LogTopology | undefined;
  #isRefreshing = false;

  constructor(partition: FollowedPartition, reader: FragmentReader) {
    this.#partition = partition;
    this.#reader = reader;
    const { ports, topology } = reader.context;
    const wake = (): void => this.#wake.wake();
    this.#tail = new Tail(reader, topology.log.namespace, partition.position, wake);
    const bounds = { delayMsMin: SETTINGS.releaseDelayMs, delayMsMax: SETTINGS.statusDelayMsMax };
    this.#backoff = new Backoff(ports.random, bounds);
    this.#nextAskMs = ports.clock.monotonicMs();
    this.#registrations = [
      partition.onRoom(wake),
      partition.closing.onClose(wake),
      topology.onChange(wake),
      ports.transport.onStatus((status) => {
        if (status !== 'connected') return;
        // What was published while there was no connection is lost.
        this.#nextAskMs = ports.clock.monotonicMs();
        wake();
      }),
    ];
  }

  close(): void {
    this.#tail.close();
    for (const registration of this.#registrations) registration.cancel();
  }

  async run(): Promise<void> {
    const { context, partition: number } = this.#reader;
    const { transport, clock } = context.ports;
    // From then on everything published reaches the tail, so the first answer of the owner leaves nothing out.
    await transport.flush().catch(() => undefined);
    for (;;) {
      const { position, closing } = this.#partition;
      if (closing.isClosed || this.#isOver()) return;
      if (this.#tail.hasOverflowed) {
        context.notice({ kind: 'tail-left', partition: number, offset: position });
        return;
      }
      if (this.#tail.sawNewerEpoch) this.#refresh();
      this.#askWhenDue();
      if (!this.#partition.hasRoom()) {
        await this.#wake.wait();
        continue;
      }
      const step = this.#tail.next(position);
      if (step.kind === 'batch') {
        this.#heard();
        this.#partition.deliver(step.batch);
      } else if (step.kind === 'wait') {
        this.#gapSinceMs = undefined;
        if (this.#isAsking) await this.#wake.wait();
        else await this.#wake.waitFor(clock, Math.max(1, this.#dueMs() - clock.monotonicMs()));
      } else if (step.isCertain || this.#gapIsOld()) {
        this.#gapSinceMs = undefined;
        await this.#partition.catchUp(this.#reader, step.until);
      } else {
        await this.#wake.waitFor(clock, SETTINGS.gapGraceMs);
      }
    }
  }

  /** Whether the fragment is read to its end, or gone. Raises what may be read when it was closed. */
  #isOver(): boolean {
    const fragment = currentFragment(this.#reader);
    if (fragment === undefined || fragment.nonce !== this.#reader.fragment.nonce) return true;
    if (fragment.end === undefined) return false;
    this.#tail.raise(fragment.end);
    return this.#partition.position >= fragment.end;
  }

  /** Frames that the owner says are released may still be on their way. */
  #gapIsOld(): boolean {
    const nowMs = this.#reader.context.ports.clock.monotonicMs();
    this.#gapSinceMs ??= nowMs;
    return nowMs - this.#gapSinceMs >= SETTINGS.gapGraceMs;
  }

  #heard(): void {
    this.#gapSinceMs = undefined;
    this.#backoff.reset();
    this.#nextAskMs = this.#reader.context.ports.clock.monotonicMs() + SETTINGS.silentTailMs;
    this.#wasHolding = false;
  }

  /** When the owner is to be asked, unless something is heard before: sooner once batches wait for their release. */
  #dueMs(): number {
    const isHolding = this.#tail.isHolding;
    if (isHolding && !this.#wasHolding) {
      const soonMs = this.#reader.context.ports.clock.monotonicMs() + SETTINGS.releaseDelayMs;
      this.#nextAskMs = Math.min(this.#nextAskMs, soonMs);
    }
    this.#wasHolding = isHolding;
    return this.#nextAskMs;
  }

  #askWhenDue(): void {
    const { clock } = this.#reader.context.ports;
    if (this.#isAsking || clock.monotonicMs() < this.#dueMs()) return;
    this.#isAsking = true;
    const { logger } = this.#reader.context.ports;
    const asked = this.#ask().catch((error: unknown) => logger.debug('owner could not be asked', { error }));
    void asked.then(() => {
      this.#isAsking = false;
      const waitMs = Math.max(this.#backoff.next(), this.#tail.isHolding ? 0 : SETTINGS.silentTailMs);
      this.#nextAskMs = clock.monotonicMs() + waitMs;
      this.#wake.wake();
    });
  }

  async #ask(): Promise<void> {
    const { context, partition } = this.#reader;
    const view = context.topology.view;
    if (view === undefined) return;
    const released = await askOnce(context, view, partition);
    // An answer about an epoch that came after ours: ours is closed, which the topology tells better.
    const open = view.partitions[partition]?.fragments.at(-1);
    if (released !== undefined && open?.epoch === this.#reader.fragment.epoch) this.#tail.raise(released);
    if (released === undefined) this.#refresh();
  }

  /** Fetches the topology in the background, once per view. */
  #refresh(): void {
    const { topology, ports } = this.#reader.context;
    const { view } = topology;
    if (this.#isRefreshing || view === this.#checkedView) return;
    this.#isRefreshing = true;
    this.#checkedView = view;
    topology
      .refresh(view)
      .catch((error: unknown) => {
        this.#checkedView = undefined;
        ports.logger.debug('topology could not be refreshed', { error });
      })
      .finally(() => {
        this.#isRefreshing = false;
        this.#wake.wake();
      });
  }
}
