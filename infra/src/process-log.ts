/** What a process prints: appended to its log file by this process, and its last lines kept for errors. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Logger } from '@pyralog/shared/core';

const LAST_LINES = 15;
const LINE_CHARACTERS_MAX = 64 * 1024;
const SHOWN_CHARACTERS_MAX = 500;

export class ProcessLog {
  readonly file: string;
  readonly #logger: Logger;
  readonly #last: string[] = [];

  constructor(file: string, logger: Logger) {
    this.file = file;
    this.#logger = logger;
  }

  /** The last lines, cut to a readable length. */
  lastLines(): string[] {
    return this.#last.map((line) =>
      line.length > SHOWN_CHARACTERS_MAX ? `${line.slice(0, SHOWN_CHARACTERS_MAX)}…` : line,
    );
  }

  /** Follows the output of one run until it ends. A file that cannot be written is reported once, and costs no more. */
  follow(stdout: Readable, stderr: Readable, onLine: (line: string) => void): void {
    this.#last.length = 0;
    const file = createWriteStream(this.file, { flags: 'a' });
    let broken = false;
    file.on('error', (error) => {
      if (!broken) this.#logger.warn('log file cannot be written', { file: this.file, error });
      broken = true;
      for (const stream of [stdout, stderr]) {
        stream.unpipe(file);
        stream.resume();
      }
    });
    for (const stream of [stdout, stderr]) {
      let rest = '';
      stream.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = (lines.pop() ?? '').slice(-LINE_CHARACTERS_MAX);
        for (const line of lines) {
          this.#last.push(line);
          if (this.#last.length > LAST_LINES) this.#last.shift();
          onLine(line);
        }
      });
      stream.pipe(file, { end: false });
    }
    const ended = [stdout, stderr].map((stream) => once(stream, 'close').catch(() => undefined));
    void Promise.all(ended).then(() => file.end());
  }
}
