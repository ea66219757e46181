/**
 * Warnings that anyone on the network can provoke: at most one a second of each message, which says how many were left
 * out. Messages are constants, so the map is bounded by the source code.
 */
import type { Clock, LogFields, Logger } from '@pyralog/shared/core';

const INTERVAL_MS = 1_000;

interface Emission {
  atMs: number;
  suppressed: number;
}

export class RateLimitedWarnings {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #emissions = new Map<string, Emission>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  warn(message: string, fields: LogFields = {}): void {
    const nowMs = this.#clock.monotonicMs();
    const last = this.#emissions.get(message);
    if (last !== undefined && nowMs - last.atMs < INTERVAL_MS) {
      last.suppressed++;
      return;
    }
    this.#emissions.set(message, { atMs: nowMs, suppressed: 0 });
    this.#logger.warn(
      message,
      last === undefined || last.suppressed === 0 ? fields : { ...fields, suppressed: last.suppressed },
    );
  }
}
