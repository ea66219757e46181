/** Carries out a load plan: warms up, measures for as long as the plan says, then waits for what is in flight. */
import { PyralogError } from '@pyralog/shared/core';
import { LatencyRecorder } from '../measure/latency.ts';
import type { LoadPlan, LoadResult, LoadTarget, WindowObserver } from './load-plan.ts';

/** A target that acknowledges nothing for so long has failed. */
const SILENCE_MS_MAX = 30_000;
const SILENCE_CHECK_MS = 1_000;
/** Node's shortest timer: what is due is sent every millisecond. */
const PACE_MS = 1;

/** @throws PyralogError `timeout` when acknowledgements stop; whatever error the target reports. */
export function runLoad(plan: LoadPlan, target: LoadTarget, observer: WindowObserver): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    new Load(plan, target, observer, resolve, reject).start();
  });
}

class Load {
  readonly #plan: LoadPlan;
  readonly #target: LoadTarget;
  readonly #observer: WindowObserver;
  readonly #resolve: (result: LoadResult) => void;
  readonly #reject: (error: Error) => void;
  readonly #latency = new LatencyRecorder();
  #phase: 'warming-up' | 'measuring' | 'draining' | 'ended' = 'warming-up';
  #inFlight = 0;
  #batches = 0;
  #openedAt = 0;
  #seconds = 0;
  #sent = 0;
  #startedAt = 0;
  #acknowledgedAt = 0;
  #ticker: NodeJS.Timeout | undefined;

  constructor(
    plan: LoadPlan,
    target: LoadTarget,
    observer: WindowObserver,
    resolve: (result: LoadResult) => void,
    reject: (error: Error) => void,
  ) {
    this.#plan = plan;
    this.#target = target;
    this.#observer = observer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#acknowledgedAt = this.#startedAt;
    const plan = this.#plan;
    this.#ticker = setInterval(() => this.#tick(), plan.kind === 'paced' ? PACE_MS : SILENCE_CHECK_MS);
    if (plan.kind === 'count') this.#open();
    else setTimeout(() => this.#open(), plan.warmupMs);
    if (plan.kind !== 'paced') for (let batch = 0; batch < plan.batchesInFlight; batch++) this.#sendNext();
  }

  #open(): void {
    if (this.#phase !== 'warming-up') return;
    this.#phase = 'measuring';
    this.#observer.opened();
    this.#openedAt = performance.now();
    if (this.#plan.kind !== 'count') setTimeout(() => this.#close(), this.#plan.measureMs);
  }

  #close(): void {
    if (this.#phase !== 'measuring') return;
    this.#seconds = (performance.now() - this.#openedAt) / 1_000;
    this.#observer.closed();
    this.#phase = 'draining';
    this.#endIfDrained();
  }

  #tick(): void {
    const now = performance.now();
    if (this.#inFlight > 0 && now - this.#acknowledgedAt > SILENCE_MS_MAX) {
      const fields = { silentMs: SILENCE_MS_MAX, inFlight: this.#inFlight };
      this.#fail(new PyralogError({ code: 'timeout', message: 'acknowledgements stopped', fields }));
    }
    if (this.#plan.kind !== 'paced' || this.#phase === 'draining') return;
    const due = Math.floor(((now - this.#startedAt) / 1_000) * this.#plan.batchesPerSecond);
    while (this.#sent < due) this.#send();
  }

  #sendNext(): void {
    if (this.#plan.kind !== 'count' || this.#sent < this.#plan.batches) this.#send();
  }

  #send(): void {
    if (this.#inFlight === 0) this.#acknowledgedAt = performance.now();
    this.#inFlight++;
    this.#sent++;
    const sentAt = performance.now();
    this.#target.send((error) => {
      if (error === undefined) this.#acknowledged(sentAt);
      else this.#fail(error);
    });
  }

  #acknowledged(sentAt: number): void {
    const now = performance.now();
    this.#acknowledgedAt = now;
    this.#inFlight--;
    if (this.#phase === 'measuring') {
      this.#batches++;
      this.#latency.record(now - sentAt);
    }
    if (this.#phase === 'draining') this.#endIfDrained();
    else if (this.#plan.kind === 'count' && this.#batches === this.#plan.batches) this.#close();
    else if (this.#plan.kind !== 'paced' && this.#phase !== 'ended') this.#sendNext();
  }

  #endIfDrained(): void {
    if (this.#inFlight > 0) return;
    this.#end();
    this.#resolve({ seconds: this.#seconds, batches: this.#batches, latencyMs: this.#latency.summary() });
  }

  #fail(error: Error): void {
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.#phase = 'ended';
    clearInterval(this.#ticker);
  }
}
