/**
 * Latency from append to delivery: records are appended on a fixed schedule, each carrying the time of its append, and a
 * reader that follows the log in the same process, over a connection of its own, notes when it gets them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PyralogError, viewOf } from '@pyralog/shared/core';
import { type LatencyMs, LatencyRecorder } from '../measure/latency.ts';
import type { WindowObserver } from './load-plan.ts';

export interface TailPlan {
  readonly recordBytes: number;
  readonly recordsPerSecond: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

export interface TailResult {
  readonly latencyMs: LatencyMs;
}

export interface TailTarget {
  /** Appends one record. Failures show in `failure`. */
  append(value: Uint8Array): void;
  /** Why nothing more will be delivered. */
  readonly failure: Error | undefined;
}

/** A record's value begins with its sequence and the time of its append, two float64. */
const STAMP_BYTES = 16;
/** For the last record to be delivered. */
const DELIVERED_WITHIN_MS = 10_000;
const PACE_MS = 1;

export class Tail {
  readonly #plan: TailPlan;
  readonly #latency = new LatencyRecorder();
  #sent = 0;
  #delivered = 0;
  #openedAt = Number.POSITIVE_INFINITY;
  #closedAt = Number.POSITIVE_INFINITY;

  constructor(plan: TailPlan) {
    this.#plan = plan;
  }

  /** The reader got a record. */
  delivered(value: Uint8Array): void {
    const now = performance.now();
    const appendedAt = viewOf(value).getFloat64(8, true);
    this.#delivered++;
    if (appendedAt >= this.#openedAt && appendedAt < this.#closedAt) this.#latency.record(now - appendedAt);
  }

  /** @throws PyralogError `timeout` when a record was not delivered; whatever the target reports. */
  async run(target: TailTarget, observer: WindowObserver): Promise<TailResult> {
    const { warmupMs, measureMs, recordsPerSecond } = this.#plan;
    const startedAt = performance.now();
    const ticker = setInterval(() => {
      const due = Math.floor(((performance.now() - startedAt) / 1_000) * recordsPerSecond);
      while (this.#sent < due) this.#append(target);
    }, PACE_MS);
    await sleep(warmupMs);
    this.#openedAt = performance.now();
    observer.opened();
    await sleep(measureMs);
    this.#closedAt = performance.now();
    observer.closed();
    clearInterval(ticker);
    await this.#allDelivered(target);
    return { latencyMs: this.#latency.summary() };
  }

  #append(target: TailTarget): void {
    const value = new Uint8Array(Math.max(STAMP_BYTES, this.#plan.recordBytes));
    const view = viewOf(value);
    view.setFloat64(0, this.#sent, true);
    view.setFloat64(8, performance.now(), true);
    this.#sent++;
    target.append(value);
  }

  async #allDelivered(target: TailTarget): Promise<void> {
    const deadline = performance.now() + DELIVERED_WITHIN_MS;
    while (this.#delivered < this.#sent) {
      if (target.failure !== undefined) throw target.failure;
      if (performance.now() > deadline) {
        const fields = { sent: this.#sent, delivered: this.#delivered };
        throw new PyralogError({ code: 'timeout', message: 'records were not delivered', fields });
      }
      await sleep(5);
    }
  }
}
