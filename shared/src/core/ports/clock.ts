/** Time, as `core/` sees it. */
export interface Timer {
  /** The callback will not run any more. Harmless after it ran. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch, whole. May jump. Only for what people see and for append times. */
  wallMs(): number;
  /** Milliseconds from an arbitrary origin, fractional, never going back. */
  monotonicMs(): number;
  /** Runs `callback` once, at least `delayMs` from now. */
  schedule(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` once, after the events that are already waiting: the way to gather what arrives together. */
  defer(callback: () => void): void;
}

/** Resolves after `delayMs`. */
export function delay(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.schedule(delayMs, resolve);
  });
}
