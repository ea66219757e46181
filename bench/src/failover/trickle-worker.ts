/**
 * A producing application that appends to every partition of a log at a steady pace, one record a call, whatever becomes
 * of the calls before: with `@pyralog/client` and its default settings but for the linger, so that no record waits for
 * another.
 */
import { connect, type Producer } from '@pyralog/client';
import { assert, describeError } from '@pyralog/shared/core';
import { serveTasks, workerSettings } from '../load/serve-tasks.ts';
import { monotonicMs } from './monotonic.ts';
import { PartitionObserver } from './partition-trace.ts';
import {
  encodeProbe,
  type PartitionTrace,
  PROBE_INTERVAL_MS,
  SWEEP_MS,
  type TrickleLoad,
  type TrickleResult,
  type TrickleSettings,
  type TrickleTask,
  type TrickleTotals,
} from './trickle-task.ts';

/** Node's shortest timer: what is due is sent every millisecond. */
const PACE_MS = 1;
const POLL_MS = 10;
/** Failed calls that are remembered one by one. */
const FAILURES_MAX = 100_000;

const settings = workerSettings<TrickleSettings>();
const client = await connect({ url: settings.natsUrl, clusterName: settings.clusterName, name: 'bench-trickle' });
let trickle: Trickle | undefined;
serveTasks<TrickleTask>(
  async (task): Promise<TrickleResult> => {
    if (task.kind === 'begin') {
      trickle = new Trickle(task);
      await trickle.begin();
      return { kind: 'done' };
    }
    assert(trickle !== undefined, 'trickle has not begun');
    switch (task.kind) {
      case 'mark':
        trickle.mark();
        return { kind: 'done' };
      case 'sweep':
        trickle.sweep();
        return { kind: 'done' };
      case 'collect':
        return { kind: 'traces', traces: await trickle.collect(task.sinceMs, task.timeoutMs) };
      case 'end':
        return { kind: 'totals', totals: await trickle.end() };
    }
  },
  () => client.close(),
);

class Trickle {
  readonly #producer: Producer;
  readonly #observers: readonly PartitionObserver[];
  readonly #paces: readonly Pace[];
  readonly #failed: (readonly [number, number])[] = [];
  #firstFailure: string | undefined;
  #ticker: NodeJS.Timeout | undefined;

  constructor({ log, partitions, appendsPerSecond, probes }: TrickleLoad) {
    this.#producer = client.producer(log, { lingerMs: 0 });
    const now = monotonicMs();
    const step = probes === 0 ? Number.POSITIVE_INFINITY : Math.floor(partitions / probes);
    this.#observers = Array.from({ length: partitions }, (_, partition) => {
      const isProbed = partition % step === 0 && partition / step < probes;
      return new PartitionObserver(partition, isProbed, now);
    });
    const probed = this.#observers.filter(({ isProbed }) => isProbed);
    const others = this.#observers.filter(({ isProbed }) => !isProbed);
    this.#paces = [
      { observers: probed, perMs: probed.length / PROBE_INTERVAL_MS, sent: 0 },
      { observers: others, perMs: appendsPerSecond / 1_000, sent: 0 },
    ];
  }

  /** One record to each partition, so that every one is known to work; then the pace. */
  async begin(): Promise<void> {
    await Promise.all(this.#observers.map((observer) => this.#append(observer)));
    const startedAtMs = monotonicMs();
    this.#ticker = setInterval(() => {
      const elapsedMs = monotonicMs() - startedAtMs;
      for (const pace of this.#paces) this.#sendDue(pace, elapsedMs);
    }, PACE_MS);
  }

  #sendDue(pace: Pace, elapsedMs: number): void {
    const { observers, perMs } = pace;
    const due = Math.floor(elapsedMs * perMs);
    // What is overdue by more than a round, because this process was held up, is left out.
    pace.sent = Math.max(pace.sent, due - observers.length);
    for (; pace.sent < due; pace.sent++) {
      const observer = observers[pace.sent % observers.length];
      if (observer !== undefined) void this.#append(observer);
    }
  }

  /** Never rejects: a call that fails is recorded. */
  async #append(observer: PartitionObserver): Promise<void> {
    const { partition } = observer;
    const sequence = observer.sent(monotonicMs());
    try {
      const { offset, epoch } = await this.#producer.append({ partition, value: encodeProbe(partition, sequence) });
      observer.acknowledged(sequence, offset, epoch, monotonicMs());
    } catch (error) {
      observer.failed(sequence);
      this.#firstFailure ??= describeError(error);
      assert(this.#failed.length < FAILURES_MAX, 'too many calls fail');
      this.#failed.push([partition, sequence]);
    }
  }

  mark(): void {
    for (const observer of this.#observers) observer.mark();
  }

  sweep(): void {
    const startedAtMs = monotonicMs();
    let sent = 0;
    const ticker = setInterval(() => {
      const due = Math.min(1, (monotonicMs() - startedAtMs) / SWEEP_MS) * this.#observers.length;
      for (; sent < due; sent++) {
        const observer = this.#observers[sent];
        if (observer !== undefined) void this.#append(observer);
      }
      if (sent >= this.#observers.length) clearInterval(ticker);
    }, PACE_MS);
  }

  async collect(sinceMs: number, timeoutMs: number): Promise<PartitionTrace[]> {
    const deadlineMs = monotonicMs() + timeoutMs;
    while (this.#observers.some((observer) => observer.recoveredMs(sinceMs) === undefined)) {
      if (monotonicMs() > deadlineMs) break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const now = monotonicMs();
    return this.#observers.map((observer) => observer.trace(sinceMs, now));
  }

  async end(): Promise<TrickleTotals> {
    clearInterval(this.#ticker);
    // Failures are known already, call by call.
    await this.#producer.close().catch(() => undefined);
    return {
      appended: this.#observers.map(({ appended }) => appended),
      failed: this.#failed,
      firstFailure: this.#firstFailure,
      outOfOrder: this.#observers.reduce((sum, { outOfOrder }) => sum + outOfOrder, 0),
    };
  }
}

interface Pace {
  readonly observers: readonly PartitionObserver[];
  readonly perMs: number;
  sent: number;
}
