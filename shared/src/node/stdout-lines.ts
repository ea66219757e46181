/**
 * Lines to stdout that never hold the process up: what a slow reader does not take waits, up to `QUEUED_BYTES_MAX`, and
 * beyond that lines are dropped; when there is no reader any more, all of them are. At exit what waits is written for as
 * long as `FLUSH_MS_MAX`.
 *
 * pino's own destination is not used, because its flush at exit never ends when stdout is a pipe whose reader is gone.
 */
import { writeSync } from 'node:fs';

const STDOUT = 1;
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;
const FLUSH_MS_MAX = 1_000;
const RETRY_MS = 10;

export class StdoutLines {
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #gone = false;
  #retry: NodeJS.Timeout | undefined;

  constructor() {
    // Node.js makes a pipe or socket non-blocking when it opens its own stream on it; that stream is not written to.
    process.stdout.on('error', () => undefined);
    process.on('exit', () => this.flush());
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#gone || this.#queuedBytes + bytes.byteLength > QUEUED_BYTES_MAX) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    if (this.#retry === undefined) this.#drain();
  }

  /** Writes what waits, for a bounded time. */
  flush(): void {
    const deadline = performance.now() + FLUSH_MS_MAX;
    while (!this.#writeQueued() && performance.now() < deadline) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  #drain(): void {
    if (this.#writeQueued()) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#drain();
    }, RETRY_MS);
    this.#retry.unref();
  }

  /** Whether nothing is left. */
  #writeQueued(): boolean {
    while (this.#queue.length > 0) {
      const bytes = this.#queue.length === 1 ? (this.#queue[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#queue);
      this.#queue = [bytes];
      let written: number;
      try {
        written = writeSync(STDOUT, bytes);
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return false;
        this.#gone = true;
        this.#queue = [];
        this.#queuedBytes = 0;
        return true;
      }
      this.#queuedBytes -= written;
      this.#queue = written === bytes.byteLength ? [] : [bytes.subarray(written)];
    }
    return true;
  }
}
