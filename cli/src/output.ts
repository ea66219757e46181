/**
 * What a command prints on standard output. A reader that goes away (`| head`) is no error: the output is closed
 * from then on, `signal` tells, and what is written afterwards is dropped.
 */
import type { Writable } from 'node:stream';

export class Output {
  readonly #stream: Writable;
  readonly #closed = new AbortController();
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on('error', (error: NodeJS.ErrnoException) => this.#fail(error));
    stream.on('drain', () => this.#resume());
    stream.on('close', () => this.#resume());
  }

  /** Nobody reads any more. */
  get closed(): boolean {
    return this.#closed.signal.aborted;
  }

  /** Aborts when nobody reads any more. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** `undefined` when there is room for more, otherwise a promise to await before the next write. */
  write(bytes: Uint8Array | string): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.closed || this.#stream.write(bytes)) return undefined;
    return new Promise((resolve, reject) => {
      this.#wake = () => (this.#failure === undefined ? resolve() : reject(this.#failure));
    });
  }

  /** Resolves when everything written has been handed to the operating system, or nobody reads any more. */
  flush(): Promise<void> {
    if (this.closed || this.#stream.destroyed) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#stream.write('', () => (this.#failure === undefined ? resolve() : reject(this.#failure)));
    });
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') {
      this.#closed.abort();
    } else {
      this.#failure ??= error;
    }
    this.#resume();
  }

  #resume(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
