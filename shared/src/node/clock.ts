/** Time of this machine, as the `Clock` port. */
import { performance } from 'node:perf_hooks';
import type { Clock } from '../core/index.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer(callback) {
    if (deferred.push(callback) === 1) setImmediate(runDeferred);
  },
};

/**
 * What runs after the events that are waiting now. One callback of the event loop runs all of it: between two of them
 * promises would be continued and connections flushed, one small write for each.
 */
let deferred: (() => void)[] = [];

function runDeferred(): void {
  const callbacks = deferred;
  deferred = [];
  let begun = 0;
  try {
    for (const callback of callbacks) {
      begun++;
      callback();
    }
  } finally {
    // One threw, and the process goes on all the same: so do the others.
    for (const callback of callbacks.slice(begun)) systemClock.defer(callback);
  }
}
