/** The system's clock whose timers do not keep the process alive: a store that a test crashed never stops them. */
import type { Clock } from '@pyralog/shared/core';
import { systemClock } from '@pyralog/shared/node';

export const looseClock: Clock = {
  ...systemClock,
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Lets everything that is ready run, timers excepted. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
