/** The trickle, as the benchmark sees it: a process of its own that appends all the time. */
import { PyralogError } from '@pyralog/shared/core';
import { Worker } from '../load/worker.ts';
import type {
  PartitionTrace,
  TrickleLoad,
  TrickleResult,
  TrickleSettings,
  TrickleTask,
  TrickleTotals,
} from './trickle-task.ts';

/** A partition that does not acknowledge for so long has not recovered. */
const RECOVERED_WITHIN_MS = 60_000;

export class Trickle {
  readonly #worker: Worker<TrickleTask, TrickleResult>;

  private constructor(worker: Worker<TrickleTask, TrickleResult>) {
    this.#worker = worker;
  }

  /** Resolves when every partition has acknowledged an append. */
  static async start(settings: TrickleSettings, load: TrickleLoad): Promise<Trickle> {
    const trickle = new Trickle(await Worker.start<TrickleTask, TrickleResult>('../failover/trickle-worker', settings));
    try {
      await trickle.#worker.run({ kind: 'begin', ...load });
      return trickle;
    } catch (error) {
      await trickle.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.#worker.pid;
  }

  /** What `traces` tells begins here. */
  async mark(): Promise<void> {
    await this.#worker.run({ kind: 'mark' });
  }

  /** Appends to every partition at once, almost. */
  async sweep(): Promise<void> {
    await this.#worker.run({ kind: 'sweep' });
  }

  /** Waits until every partition has acknowledged an append sent after `sinceMs`, but not for ever. */
  async traces(sinceMs: number): Promise<readonly PartitionTrace[]> {
    const result = await this.#worker.run({ kind: 'collect', sinceMs, timeoutMs: RECOVERED_WITHIN_MS });
    return result.kind === 'traces' ? result.traces : misunderstood();
  }

  /** Appends nothing more; resolves when everything is settled. */
  async end(): Promise<TrickleTotals> {
    const result = await this.#worker.run({ kind: 'end' });
    return result.kind === 'totals' ? result.totals : misunderstood();
  }

  stop(): Promise<void> {
    return this.#worker.stop();
  }
}

function misunderstood(): never {
  throw new PyralogError({ code: 'invalid', message: 'trickle answered something else' });
}
