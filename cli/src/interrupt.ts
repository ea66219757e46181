/** Ctrl-C and SIGTERM as an `AbortSignal`: the first asks to end, the second ends at once. */

/** npm passes on a Ctrl-C that the terminal has sent already: what comes so soon is still the first. */
const SAME_WITHIN_MS = 500;

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Gives the signals back to their defaults. */
  release(): void;
}

/** @param force what the second one does first; unless it returns true, the signal then ends the process. */
export function listenForInterrupt(force: () => boolean = () => false): Interrupt {
  const controller = new AbortController();
  let firstAt = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort();
      return;
    }
    if (performance.now() - firstAt < SAME_WITHIN_MS) return;
    if (force()) return;
    release();
    process.kill(process.pid, name);
  };
  const release = (): void => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return { signal: controller.signal, release };
}
