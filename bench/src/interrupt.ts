/** Ctrl-C and SIGTERM: the run ends early, and cleans up after itself as if something had failed. */
import { PyralogError } from '@pyralog/shared/core';

export class Interrupt {
  readonly #interrupted: Promise<never>;

  constructor() {
    this.#interrupted = new Promise((_, reject) => {
      const stop = (signal: string): void => {
        reject(new PyralogError({ code: 'closed', message: 'benchmark was interrupted', fields: { signal } }));
      };
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
    });
    this.#interrupted.catch(() => {});
  }

  /** @throws PyralogError `closed` once interrupted; whatever `step` throws. */
  during<Result>(step: Promise<Result>): Promise<Result> {
    return Promise.race([step, this.#interrupted]);
  }
}
